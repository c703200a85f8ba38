/*
 * The consoles below the log, and the operator's keyboard: COM1 is both log and command line; COM2, if there, carries one
 * guest's console as raw bytes.
 */
#ifndef TELEPOD_CONSOLE_H
#define TELEPOD_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "boot/boot_info.h"
#include "kernel/thread.h"

void console_early_init(void);                                    /* serial and 0xE9; before memory is up */
void console_framebuffer_init(const struct boot_framebuffer *);   /* once the direct map is there */
void console_write(const char *text, size_t size);                /* to all log consoles */
/* The same, but never waits: COM1 and the screen get it only while half of COM1's ring is free. A guest may print faster. */
void console_write_lossy(const char *text, size_t size);

/* COM1 input, interrupt-driven: bytes that came since the last call. `waiter` is woken when input arrives. */
size_t console_read(char *buffer, size_t size);
void console_set_reader(struct thread *waiter);

/* Raw bytes to COM2. Never waits long: a UART that does not drain within a bounded time drops the rest. */
void console_com2_write(const char *bytes, size_t size);
uint32_t console_com2_taken(void); /* bytes of those since the start that were not dropped, modulo 2^32 */

void console_interrupts_init(void);                               /* once interrupts work: input, and output in the background */
void console_flush(void);                                         /* waits (bounded) until both UARTs have sent all */
void console_panic_mode(void);                                    /* no locks, no interrupts from now on: panic only */

#endif
