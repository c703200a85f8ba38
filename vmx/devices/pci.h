/*
 * A PCI function (PCI Local Bus Specification 3.0): type 0 header, memory BARs, one interrupt pin, MSI-X.
 *
 * What never changes is a struct pci_model: the bytes of its configuration space, and where in them the things lie
 * that have behaviour. What software can change is a struct pci_function: a value that travels with the guest.
 * Whatever it holds, no access leaves its arrays, and no BAR is larger than its model says. Pure.
 *
 * A device is made from struct pci_header and its capabilities, one after the other in a structure of its own:
 *
 *     static const struct { struct pci_header header; struct pci_msix_capability msix; ... } config = { ... };
 *     const struct pci_model model = { .config = &config, .config_size = sizeof config, .bar_size = { 0x4000 },
 *                                      .msix_at = offsetof(...), .msix_vectors = 4, ... };
 */
#ifndef TELEPOD_VMX_DEVICES_PCI_H
#define TELEPOD_VMX_DEVICES_PCI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "vmx/fields.h"

#define PCI_CONFIG_SIZE 256
#define PCI_BARS 6
#define PCI_BAR_SIZE_MIN 4096u  /* a page, so that no two BARs share one */
#define PCI_MSIX_VECTORS_MAX 8
#define PCI_MSIX_ENTRY_BYTES 16

/* Chapter 6.1 "Configuration Space Organization", figure 6-1. BARs and what is 0 here belong to struct pci_function. */
struct pci_header {
    uint16_t vendor_id, device_id;
    uint16_t command, status;
    uint8_t revision_id, interface, sub_class, base_class;
    uint8_t cache_line_size, latency_timer, header_type, bist;
    uint32_t bar[PCI_BARS];
    uint32_t cardbus_cis;
    uint16_t subsystem_vendor_id, subsystem_id;
    uint32_t rom;
    uint8_t capabilities, reserved[7];
    uint8_t interrupt_line, interrupt_pin, min_gnt, max_lat;
};
_Static_assert(sizeof(struct pci_header) == 64, "type 0 header");

#define PCI_COMMAND_MEMORY 0x0002u
#define PCI_COMMAND_MASTER 0x0004u
#define PCI_COMMAND_INTX_DISABLE 0x0400u
#define PCI_STATUS_INTERRUPT 0x0008u
#define PCI_STATUS_CAPABILITIES 0x0010u
#define PCI_PIN_INTA 1
#define PCI_CAPABILITY_VENDOR 0x09
#define PCI_CAPABILITY_MSIX 0x11

/* 6.8.2 "MSI-X Capability and Table Structures" */
struct pci_msix_capability {
    uint8_t id, next;
    uint16_t control;           /* table size - 1 */
    uint32_t table, pba;        /* offset in the BAR | number of the BAR */
};
_Static_assert(sizeof(struct pci_msix_capability) == 12, "figure 6-11");
#define PCI_MSIX_ENABLE 0x8000u
#define PCI_MSIX_FUNCTION_MASK 0x4000u
#define PCI_MSIX_VECTOR_MASKED 1u

struct pci_model {
    const void *config;             /* struct pci_header, then capabilities */
    uint16_t config_size;           /* what lies behind reads as 0 */
    uint8_t msix_at;                /* offset of the MSI-X capability; 0: none */
    uint8_t msix_vectors;           /* at most PCI_MSIX_VECTORS_MAX */
    uint8_t msix_bar;
    uint8_t window_at;              /* offset of a virtio configuration-access capability (virtio 1.2, 4.1.4.9); 0: none */
    uint32_t msix_table, msix_pba;  /* offsets in that BAR */
    uint32_t bar_size[PCI_BARS];    /* 32-bit memory BARs: 0, or a power of two from PCI_BAR_SIZE_MIN on */
};

/* All that software can change. */
struct pci_function {
    uint16_t command;
    uint16_t msix_control;          /* enable and function mask */
    uint8_t interrupt_line;
    uint8_t intx;                   /* 0 or 1: the device asks for its pin */
    uint8_t window_bar;
    uint32_t window_offset, window_length;
    uint32_t bar[PCI_BARS];
    uint32_t msix_pending;          /* a bit a vector */
    uint64_t msix_address[PCI_MSIX_VECTORS_MAX];
    uint32_t msix_data[PCI_MSIX_VECTORS_MAX];
    uint32_t msix_vector_control[PCI_MSIX_VECTORS_MAX];
};
extern const struct section pci_function_section;

/* Configuration mechanism #1: the register that says where the data port leads. */
struct pci_host {
    uint32_t address;
};
extern const struct section pci_host_section;

struct pci_message {
    uint64_t address;
    uint32_t data;
};

void pci_function_reset(struct pci_function *function);

/* offset + size <= PCI_CONFIG_SIZE, size 1, 2 or 4, aligned: what configuration mechanism #1 can ask for. */
uint32_t pci_config_read(const struct pci_model *model, const struct pci_function *function, unsigned offset, unsigned size);
/* After it the pin's level may be another, and messages may wait (pci_msix_next): the caller looks at both. */
void pci_config_write(const struct pci_model *model, struct pci_function *function, unsigned offset, unsigned size,
                      uint32_t value);

/* The BAR in which all of [gpa, gpa + size) lies while memory decoding is on, and the offset in it; -1: none. */
int pci_bar_find(const struct pci_model *model, const struct pci_function *function, uint64_t gpa, unsigned size,
                 uint64_t *offset);
/* Does this access concern the MSI-X table or the pending bits? Then these two answer it, and not the device. */
bool pci_msix_covers(const struct pci_model *model, unsigned bar, uint64_t offset);
uint64_t pci_msix_read(const struct pci_model *model, const struct pci_function *function, uint64_t offset, unsigned size);
void pci_msix_write(const struct pci_model *model, struct pci_function *function, uint64_t offset, unsigned size, uint64_t value);

static inline bool pci_msix_enabled(const struct pci_function *function)
{
    return (function->msix_control & PCI_MSIX_ENABLE) != 0;
}
/* The device has an event for `vector`. True: *out is to be sent now; false: it waits, or there is no such vector. */
bool pci_msix_raise(const struct pci_model *model, struct pci_function *function, unsigned vector, struct pci_message *out);
/* A vector that waited and no longer must: true, with its message in *out. Call until false. */
bool pci_msix_next(const struct pci_model *model, struct pci_function *function, struct pci_message *out);
/* The level of the function's pin. */
bool pci_intx_level(const struct pci_function *function);

#endif
