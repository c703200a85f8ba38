/* Configuration space as 32-bit registers, BARs, and MSI-X. A register is the model's bytes, with what can change over them. */
#include "vmx/devices/pci.h"

#include <stdio.h>
#include <string.h>
#include "kernel/lib/util.h"

enum pci_register { /* offsets of the 32-bit registers that can change */
    REGISTER_COMMAND = 0x04,
    REGISTER_BAR = 0x10,
    REGISTER_BAR_END = REGISTER_BAR + 4 * PCI_BARS,
    REGISTER_INTERRUPT = 0x3c,
};

/* In the configuration-access capability, after 4 bytes of head (virtio 1.2, 4.1.4). */
enum window_register { WINDOW_NONE = 0, WINDOW_BAR = 4, WINDOW_OFFSET = 8, WINDOW_LENGTH = 12 };

#define COMMAND_WRITABLE (PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE)
#define MSIX_WRITABLE (PCI_MSIX_ENABLE | PCI_MSIX_FUNCTION_MASK)
#define UPPER_SHIFT 16 /* the 16-bit register in the upper half of a 32-bit one */

/* An MSI-X table entry, in 32-bit words. */
enum msix_word { MSIX_ADDRESS, MSIX_ADDRESS_UPPER, MSIX_DATA, MSIX_CONTROL, MSIX_WORDS };
_Static_assert(MSIX_WORDS * 4 == PCI_MSIX_ENTRY_BYTES, "figure 6-12");
#define MSIX_PBA_BYTES 8

void pci_function_reset(struct pci_function *function)
{
    memset(function, 0, sizeof *function);
    for (unsigned i = 0; i < PCI_MSIX_VECTORS_MAX; i++)
        function->msix_vector_control[i] = PCI_MSIX_VECTOR_MASKED;
}

/* ---- configuration space ---- */

static uint32_t model_register(const struct pci_model *model, unsigned at)
{
    uint32_t value = 0;
    if (at + sizeof value <= model->config_size)
        memcpy(&value, (const char *)model->config + at, sizeof value);
    return value;
}

static uint32_t bar_base(const struct pci_model *model, const struct pci_function *function, unsigned bar)
{
    return model->bar_size[bar] ? function->bar[bar] & ~(model->bar_size[bar] - 1) : 0;
}

static enum window_register window_register(const struct pci_model *model, unsigned at)
{
    unsigned in = at - model->window_at;
    return model->window_at && in <= WINDOW_LENGTH ? (enum window_register)in : WINDOW_NONE;
}

static bool interrupt_asked(const struct pci_function *function)
{
    return function->intx && !pci_msix_enabled(function);
}

static uint32_t read_register(const struct pci_model *model, const struct pci_function *function, unsigned at)
{
    uint32_t value = model_register(model, at);
    if (at == REGISTER_COMMAND)
        return value | function->command | (interrupt_asked(function) ? PCI_STATUS_INTERRUPT << UPPER_SHIFT : 0);
    if (at >= REGISTER_BAR && at < REGISTER_BAR_END)
        return bar_base(model, function, (at - REGISTER_BAR) / 4);
    if (at == REGISTER_INTERRUPT)
        return value | function->interrupt_line;
    if (model->msix_at && at == model->msix_at)
        return value | (uint32_t)function->msix_control << UPPER_SHIFT;
    switch (window_register(model, at)) {
    case WINDOW_BAR: return value | function->window_bar;
    case WINDOW_OFFSET: return function->window_offset;
    case WINDOW_LENGTH: return function->window_length;
    case WINDOW_NONE: break;
    }
    return value;
}

static void write_msix_control(struct pci_function *function, uint16_t value)
{
    function->msix_control = value & MSIX_WRITABLE;
    if (!pci_msix_enabled(function))
        function->msix_pending = 0;
}

static void write_register(const struct pci_model *model, struct pci_function *function, unsigned at, uint32_t value)
{
    if (at == REGISTER_COMMAND)
        function->command = value & COMMAND_WRITABLE;
    else if (at >= REGISTER_BAR && at < REGISTER_BAR_END)
        function->bar[(at - REGISTER_BAR) / 4] = value;
    else if (at == REGISTER_INTERRUPT)
        function->interrupt_line = (uint8_t)value;
    else if (model->msix_at && at == model->msix_at)
        write_msix_control(function, (uint16_t)(value >> UPPER_SHIFT));
    switch (window_register(model, at)) {
    case WINDOW_BAR: function->window_bar = (uint8_t)value; break;
    case WINDOW_OFFSET: function->window_offset = value; break;
    case WINDOW_LENGTH: function->window_length = value; break;
    case WINDOW_NONE: break;
    }
}

/* The bits of a 32-bit register that an access of `size` bytes at `offset` means, moved down to bit 0. */
static uint32_t access_mask(unsigned size)
{
    return size >= sizeof(uint32_t) ? UINT32_MAX : (uint32_t)BIT(8 * size) - 1;
}

static bool access_fits(unsigned offset, unsigned size)
{
    return size >= 1 && offset % 4 + size <= 4 && offset + size <= PCI_CONFIG_SIZE;
}

uint32_t pci_config_read(const struct pci_model *model, const struct pci_function *function, unsigned offset, unsigned size)
{
    if (!access_fits(offset, size))
        return access_mask(size);
    return read_register(model, function, offset & ~3u) >> 8 * (offset % 4) & access_mask(size);
}

void pci_config_write(const struct pci_model *model, struct pci_function *function, unsigned offset, unsigned size,
                      uint32_t value)
{
    unsigned at = offset & ~3u, shift = 8 * (offset % 4);
    if (!access_fits(offset, size))
        return;
    uint32_t mask = access_mask(size) << shift;
    write_register(model, function, at, (read_register(model, function, at) & ~mask) | (value << shift & mask));
}

int pci_bar_find(const struct pci_model *model, const struct pci_function *function, uint64_t gpa, unsigned size,
                 uint64_t *offset)
{
    if (!(function->command & PCI_COMMAND_MEMORY))
        return -1;
    for (unsigned bar = 0; bar < PCI_BARS; bar++) {
        uint64_t bytes = model->bar_size[bar];
        if (bytes == 0)
            continue;
        uint64_t in = gpa - bar_base(model, function, bar);
        if (in < bytes && size <= bytes - in) {
            *offset = in;
            return (int)bar;
        }
    }
    return -1;
}

/* ---- MSI-X ---- */

static unsigned vectors(const struct pci_model *model)
{
    return MIN(model->msix_vectors, PCI_MSIX_VECTORS_MAX);
}

static bool in_table(const struct pci_model *model, uint64_t offset)
{
    return offset - model->msix_table < vectors(model) * PCI_MSIX_ENTRY_BYTES;
}

bool pci_msix_covers(const struct pci_model *model, unsigned bar, uint64_t offset)
{
    return model->msix_at && bar == model->msix_bar &&
           (in_table(model, offset) || offset - model->msix_pba < MSIX_PBA_BYTES);
}

static uint32_t read_word(const struct pci_model *model, const struct pci_function *function, uint64_t offset)
{
    if (!in_table(model, offset))
        return offset == model->msix_pba ? function->msix_pending : 0;
    unsigned vector = (unsigned)(offset - model->msix_table) / PCI_MSIX_ENTRY_BYTES;
    switch ((enum msix_word)((offset - model->msix_table) % PCI_MSIX_ENTRY_BYTES / 4)) {
    case MSIX_ADDRESS: return (uint32_t)function->msix_address[vector];
    case MSIX_ADDRESS_UPPER: return (uint32_t)(function->msix_address[vector] >> 32);
    case MSIX_DATA: return function->msix_data[vector];
    case MSIX_CONTROL: return function->msix_vector_control[vector];
    case MSIX_WORDS: break;
    }
    return 0;
}

static void write_word(const struct pci_model *model, struct pci_function *function, uint64_t offset, uint32_t value)
{
    if (!in_table(model, offset))
        return;
    unsigned vector = (unsigned)(offset - model->msix_table) / PCI_MSIX_ENTRY_BYTES;
    uint64_t *address = &function->msix_address[vector];
    switch ((enum msix_word)((offset - model->msix_table) % PCI_MSIX_ENTRY_BYTES / 4)) {
    case MSIX_ADDRESS: *address = (*address & ~(uint64_t)UINT32_MAX) | value; break;
    case MSIX_ADDRESS_UPPER: *address = (*address & UINT32_MAX) | (uint64_t)value << 32; break;
    case MSIX_DATA: function->msix_data[vector] = value; break;
    case MSIX_CONTROL: function->msix_vector_control[vector] = value & PCI_MSIX_VECTOR_MASKED; break;
    case MSIX_WORDS: break;
    }
}

/* 6.8.2: software uses aligned 32-bit or 64-bit accesses; what others do is undefined. Here they read parts and write nothing. */
uint64_t pci_msix_read(const struct pci_model *model, const struct pci_function *function, uint64_t offset, unsigned size)
{
    uint64_t word = read_word(model, function, offset & ~3ULL);
    if (size == 8)
        return word | (uint64_t)read_word(model, function, (offset & ~3ULL) + 4) << 32;
    return word >> 8 * (offset % 4) & access_mask(size);
}

void pci_msix_write(const struct pci_model *model, struct pci_function *function, uint64_t offset, unsigned size, uint64_t value)
{
    if (size < 4 || offset % 4 != 0)
        return;
    write_word(model, function, offset, (uint32_t)value);
    if (size == 8)
        write_word(model, function, offset + 4, (uint32_t)(value >> 32));
}

static bool may_go(const struct pci_function *function, unsigned vector)
{
    return !(function->msix_control & PCI_MSIX_FUNCTION_MASK) &&
           !(function->msix_vector_control[vector] & PCI_MSIX_VECTOR_MASKED);
}

bool pci_msix_raise(const struct pci_model *model, struct pci_function *function, unsigned vector, struct pci_message *out)
{
    if (!pci_msix_enabled(function) || vector >= vectors(model))
        return false;
    if (!may_go(function, vector)) {
        function->msix_pending |= 1u << vector;
        return false;
    }
    *out = (struct pci_message){ function->msix_address[vector], function->msix_data[vector] };
    return true;
}

bool pci_msix_next(const struct pci_model *model, struct pci_function *function, struct pci_message *out)
{
    if (!pci_msix_enabled(function))
        return false;
    for (unsigned vector = 0; vector < vectors(model); vector++)
        if ((function->msix_pending >> vector & 1) && may_go(function, vector)) {
            function->msix_pending &= ~(1u << vector);
            return pci_msix_raise(model, function, vector, out);
        }
    return false;
}

bool pci_intx_level(const struct pci_function *function)
{
    return interrupt_asked(function) && !(function->command & PCI_COMMAND_INTX_DISABLE);
}

/* ---- state ---- */

static enum err pci_function_check(const void *decoded, char *why, size_t why_size)
{
    const struct pci_function *function = decoded;
    if ((function->command & ~COMMAND_WRITABLE) || (function->msix_control & ~MSIX_WRITABLE)) {
        snprintf(why, why_size, "section pci: command 0x%x, MSI-X control 0x%x: bits that no software can set",
                 function->command, function->msix_control);
        return ERR_INVALID;
    }
    return OK;
}

static const struct field pci_host_fields[] = { FIELD(struct pci_host, address, 0) };
const struct section pci_host_section = {
    .name = "pci-host",
    .version = 1,
    .fields = pci_host_fields,
    .field_count = ARRAY_SIZE(pci_host_fields),
    .struct_size = sizeof(struct pci_host),
};

static const struct field pci_function_fields[] = {
    FIELD(struct pci_function, command, 0),
    FIELD(struct pci_function, msix_control, 0),
    FIELD(struct pci_function, interrupt_line, 0),
    FIELD(struct pci_function, intx, 1),
    FIELD(struct pci_function, window_bar, 0),
    FIELD(struct pci_function, window_offset, 0),
    FIELD(struct pci_function, window_length, 0),
    FIELD_ARRAY(struct pci_function, bar, 0),
    FIELD(struct pci_function, msix_pending, BIT(PCI_MSIX_VECTORS_MAX) - 1),
    FIELD_ARRAY(struct pci_function, msix_address, 0),
    FIELD_ARRAY(struct pci_function, msix_data, 0),
    FIELD_ARRAY(struct pci_function, msix_vector_control, PCI_MSIX_VECTOR_MASKED),
};

const struct section pci_function_section = {
    .name = "pci",
    .version = 1,
    .fields = pci_function_fields,
    .field_count = ARRAY_SIZE(pci_function_fields),
    .struct_size = sizeof(struct pci_function),
    .check = pci_function_check,
};
