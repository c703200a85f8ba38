/* Names of the kernel's functions, from a table that the build makes with kernel/ksyms.awk from a first link. */
#ifndef TELEPOD_SYMBOLS_H
#define TELEPOD_SYMBOLS_H

#include <stdint.h>

/* The function that `address` lies in and the distance from its start; NULL (and *offset = 0): not kernel text. */
const char *symbol_find(uint64_t address, uint64_t *offset);

#endif
