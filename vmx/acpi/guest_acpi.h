/*
 * The ACPI tables of a guest's machine (ACPI Specification 6.4, chapter 5): RSDP, XSDT, FACS, FADT, MADT and DSDT. FADT
 * and DSDT are iasl's, from facp.asl and dsdt.asl beside this file; the others are made here for the number of
 * processors. Pure.
 */
#ifndef TELEPOD_GUEST_ACPI_H
#define TELEPOD_GUEST_ACPI_H

#include <stddef.h>
#include <stdint.h>

#define GUEST_ACPI_BASE 0xe0000 /* where firmware leaves the RSDP (5.2.5.1 "Finding the RSDP on IA-PC Systems") */
#define GUEST_ACPI_SIZE 0x2000  /* more than the tables of the largest machine */

/*
 * Writes the tables as they shall lie at guest-physical address `base` (a multiple of 64, below 4 GiB), the RSDP first;
 * returns their size in bytes. Processors have the APIC ids 0 to vcpus - 1, the I/O APIC has `vcpus` as its id. 0:
 * `size` is too small, nothing was written.
 */
size_t guest_acpi_build(void *out, size_t size, uint64_t base, uint32_t vcpus);

#endif
