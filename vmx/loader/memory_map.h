/*
 * A guest's physical memory as its firmware describes it: RAM, and the reserved area below 1 MiB that holds the
 * firmware's tables. From one table, for Linux's E820 map and for Multiboot's.
 */
#ifndef TELEPOD_MEMORY_MAP_H
#define TELEPOD_MEMORY_MAP_H

#include <stdint.h>

#define MEMORY_MAP_MAX 4
#define MEMORY_LOW_END 0xc0000000ull    /* RAM ends below the PCI window at 3 GiB; the rest is from 4 GiB on */
#define MEMORY_HIGH_START 0x100000000ull

/* ACPI 6.5, 15.1 "INT 15H, E820H - Query System Address Map", Table 15.6 "Address Range Types". */
enum { E820_RAM = 1, E820_RESERVED = 2 };

struct memory_range {
    uint64_t start, size;
    uint32_t type;
};

/* Ascending, without overlaps. Returns how many. */
uint32_t memory_map_make(uint64_t memory_bytes, struct memory_range out[MEMORY_MAP_MAX]);

#endif
