/*
 * Reads the static ACPI tables (ACPI Specification 6.5, chapter 5 "ACPI Software Programming Model"). Pure:
 * physical memory comes through a callback. Nothing that a table says is used before its place, length and
 * checksum are checked, and no content makes the reader loop or leave the table.
 */
#ifndef TELEPOD_ACPI_TABLES_H
#define TELEPOD_ACPI_TABLES_H

#include <stdint.h>
#include "kernel/acpi.h"
#include "kernel/lib/addr.h"

struct acpi_reader {
    /* `size` bytes at `phys`, valid until the parser returns; NULL if they cannot be read. */
    const void *(*map)(void *context, struct hpa phys, uint64_t size);
    /* What is wrong with which table, in words. */
    void (*report)(void *context, const char *table, const char *reason);
    void *context;
};

/* Fills *info from the tables that the RSDP leads to; what is missing or bad stays 0. */
void acpi_parse(struct acpi_info *info, struct hpa rsdp, const struct acpi_reader *reader);

#endif
