/* Guarantees: a lookup reads nothing but the table; an empty table (the first link) gives no names. */
#include "kernel/symbols.h"
#include <stddef.h>
#include "boot/boot_info.h"

/* Made by ksyms.awk: sorted by offset from KERNEL_BASE, the last entry is the end of text. */
struct symbol {
    uint32_t offset, name;
};
extern const struct symbol ksyms_table[];
extern const uint32_t ksyms_count;
extern const char ksyms_names[];

const char *symbol_find(uint64_t address, uint64_t *offset)
{
    uint64_t at = address - KERNEL_BASE;
    uint32_t low = 0, high = ksyms_count;

    *offset = 0;
    /* Invariant: the entry looked for is in [low, high). */
    if (address < KERNEL_BASE || high < 2 || at < ksyms_table[0].offset || at >= ksyms_table[high - 1].offset)
        return NULL;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (ksyms_table[middle].offset <= at)
            low = middle;
        else
            high = middle;
    }
    *offset = at - ksyms_table[low].offset;
    return ksyms_names + ksyms_table[low].name;
}
