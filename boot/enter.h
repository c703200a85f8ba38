/* The last thing that the loader does. */
#ifndef TELEPOD_BOOT_ENTER_H
#define TELEPOD_BOOT_ENTER_H

#include <stdint.h>
#include "boot/boot_info.h"

/*
 * Turns interrupts off, sets EFER.NXE and CR0.WP, clears CR4.PGE and CR4.CET, loads CR3, and calls
 * entry(info) on the stack. boot/enter.S.
 *   cr3        physical address of a PML4 that maps the loader where it runs now
 *   stack_top  virtual, 16-byte aligned
 *   entry      virtual
 *   info       virtual
 */
void enter_kernel(uint64_t cr3, uint64_t stack_top, uint64_t entry, const struct boot_info *info)
    __attribute__((noreturn));

#endif
