/* See kernel/acpi_tables.h. Tables are read byte-wise: they need not be aligned. */
#include "kernel/acpi_tables.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include "kernel/lib/util.h"

/* RSDP (5.2.5.3 "Root System Description Pointer (RSDP) Structure") */
#define RSDP_SIGNATURE "RSD PTR "
#define RSDP_V1_SIZE 20u
#define RSDP_V2_SIZE 36u
#define RSDP_SIZE_MAX 4096u
enum { RSDP_REVISION = 15, RSDP_RSDT = 16, RSDP_LENGTH = 20, RSDP_XSDT = 24 };

/* System description table header (5.2.6) */
#define HEADER_SIZE 36u
#define TABLE_SIZE_MAX (1024u * 1024u)
#define SIGNATURE_SIZE 4u
enum { HEADER_LENGTH = 4 };

/* Generic address structure (5.2.3.2) */
enum { GAS_SPACE = 0, GAS_ADDRESS = 4, GAS_SIZE = 12 };
enum { GAS_SPACE_MEMORY = 0, GAS_SPACE_IO = 1 };
#define IO_PORT_MAX 0xffffu

/* FADT (5.2.9); a table of ACPI 1.0 ends after the flags */
enum {
    FADT_PM1A_CNT_BLK = 64,
    FADT_PM_TMR_BLK = 76,
    FADT_PM_TMR_LEN = 91,
    FADT_FLAGS = 112,
    FADT_V1_SIZE = 116,
    FADT_X_PM1A_CNT_BLK = 172,
    FADT_X_PM_TMR_BLK = 208
};
#define FADT_TMR_VAL_EXT BIT(8)
#define PM_TIMER_LENGTH 4u

/* HPET description table (IA-PC HPET Specification 1.0a, 3.2.4) */
enum { HPET_BASE = 40, HPET_TABLE_SIZE = 56 };

/* MADT (5.2.12) */
enum { MADT_LOCAL_APIC = 36, MADT_ENTRIES = 44 };
#define MADT_ENABLED BIT(0)
/* MPS INTI flags (Table 5.23): 0 means "as the bus has it", for ISA edge and active high */
#define INTI_POLARITY(flags) ((flags) & 3)
#define INTI_TRIGGER(flags) ((flags) >> 2 & 3)
#define INTI_ACTIVE_LOW 3
#define INTI_LEVEL 3

struct parser {
    struct acpi_info *info;
    const struct acpi_reader *reader;
};

static uint16_t read16(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }
static uint32_t read32(const uint8_t *p) { return read16(p) | (uint32_t)read16(p + 2) << 16; }
static uint64_t read64(const uint8_t *p) { return read32(p) | (uint64_t)read32(p + 4) << 32; }

static void report(const struct parser *p, const char *table, const char *reason)
{
    p->reader->report(p->reader->context, table, reason);
}

static const uint8_t *map(const struct parser *p, uint64_t phys, uint64_t size)
{
    return p->reader->map(p->reader->context, (struct hpa){ phys }, size);
}

static bool sum_is_zero(const uint8_t *bytes, uint32_t size)
{
    uint8_t sum = 0;
    for (uint32_t i = 0; i < size; i++)
        sum = (uint8_t)(sum + bytes[i]);
    return sum == 0;
}

/* The whole table at `phys`, checked; NULL and a report if it is not in order. */
static const uint8_t *map_table(const struct parser *p, const char *signature, uint64_t phys,
                                uint32_t min_size, uint32_t *size)
{
    const char *wrong = NULL;
    const uint8_t *table = map(p, phys, HEADER_SIZE);
    if (table == NULL)
        wrong = "cannot be read";
    else if (memcmp(table, signature, SIGNATURE_SIZE))
        wrong = "has another signature";
    else if ((*size = read32(table + HEADER_LENGTH)) < MAX(min_size, HEADER_SIZE) || *size > TABLE_SIZE_MAX)
        wrong = "has an impossible length";
    else if ((table = map(p, phys, *size)) == NULL)
        wrong = "cannot be read to its end";
    else if (!sum_is_zero(table, *size))
        wrong = "has a wrong checksum";
    if (wrong)
        report(p, signature, wrong);
    return wrong ? NULL : table;
}

static void add_cpu(struct acpi_info *info, uint32_t apic_id, uint32_t flags)
{
    if (!(flags & MADT_ENABLED) || info->cpu_count == CPUS_MAX)
        return;
    for (uint32_t i = 0; i < info->cpu_count; i++)
        if (info->apic_ids[i] == apic_id)
            return;
    info->apic_ids[info->cpu_count++] = apic_id;
}

static void on_local_apic(struct acpi_info *info, const uint8_t *e) { add_cpu(info, e[3], read32(e + 4)); }
static void on_x2apic(struct acpi_info *info, const uint8_t *e)
{
    add_cpu(info, read32(e + 4), read32(e + 8));
}
static void on_local_apic_address(struct acpi_info *info, const uint8_t *e)
{
    info->local_apic.raw = read64(e + 4);
}

static void on_io_apic(struct acpi_info *info, const uint8_t *e)
{
    if (info->io_apic_count < ACPI_IO_APICS_MAX)
        info->io_apics[info->io_apic_count++] = (struct acpi_io_apic){
            .id = e[2], .base = { read32(e + 4) }, .gsi_base = read32(e + 8),
        };
}

static void on_override(struct acpi_info *info, const uint8_t *e)
{
    uint16_t flags = read16(e + 8);
    if (info->override_count < ACPI_OVERRIDES_MAX)
        info->overrides[info->override_count++] = (struct acpi_override){
            .isa_irq = e[3], .gsi = read32(e + 4),
            .level = INTI_TRIGGER(flags) == INTI_LEVEL, .active_low = INTI_POLARITY(flags) == INTI_ACTIVE_LOW,
        };
}

/* Interrupt controller structure types (Table 5.21) that we use, and the length that each must have. */
static const struct {
    uint8_t type, length;
    void (*on_entry)(struct acpi_info *info, const uint8_t *entry);
} madt_entries[] = {
    { 0, 8, on_local_apic },
    { 1, 12, on_io_apic },
    { 2, 10, on_override },
    { 5, 12, on_local_apic_address },
    { 9, 16, on_x2apic },
};

static void parse_madt(const struct parser *p, const uint8_t *table, uint32_t size)
{
    p->info->local_apic.raw = read32(table + MADT_LOCAL_APIC);
    for (uint32_t at = MADT_ENTRIES; at < size; at += table[at + 1]) {
        if (size - at < 2 || table[at + 1] < 2 || table[at + 1] > size - at) {
            report(p, "APIC", "has an entry of an impossible length; the rest is ignored");
            return;
        }
        for (size_t i = 0; i < ARRAY_SIZE(madt_entries); i++) {
            if (madt_entries[i].type != table[at])
                continue;
            if (table[at + 1] < madt_entries[i].length)
                report(p, "APIC", "has an entry that is too short");
            else
                madt_entries[i].on_entry(p->info, table + at);
        }
    }
}

/* An I/O port: from the 64-bit field where there is one and it names a port, else from the 32-bit field. */
static uint16_t read_port(const uint8_t *table, uint32_t size, uint32_t wide_offset, uint32_t narrow_offset)
{
    if (size >= wide_offset + GAS_SIZE && table[wide_offset + GAS_SPACE] == GAS_SPACE_IO) {
        uint64_t port = read64(table + wide_offset + GAS_ADDRESS);
        if (port && port <= IO_PORT_MAX)
            return (uint16_t)port;
    }
    uint32_t port = read32(table + narrow_offset);
    return port <= IO_PORT_MAX ? (uint16_t)port : 0;
}

static void parse_fadt(const struct parser *p, const uint8_t *table, uint32_t size)
{
    p->info->pm1a_control_port = read_port(table, size, FADT_X_PM1A_CNT_BLK, FADT_PM1A_CNT_BLK);
    if (table[FADT_PM_TMR_LEN] == PM_TIMER_LENGTH)
        p->info->pm_timer_port = read_port(table, size, FADT_X_PM_TMR_BLK, FADT_PM_TMR_BLK);
    p->info->pm_timer_32bit = read32(table + FADT_FLAGS) & FADT_TMR_VAL_EXT;
}

static void parse_hpet(const struct parser *p, const uint8_t *table, uint32_t size)
{
    (void)size;
    if (table[HPET_BASE + GAS_SPACE] == GAS_SPACE_MEMORY)
        p->info->hpet.raw = read64(table + HPET_BASE + GAS_ADDRESS);
}

static const struct {
    const char *signature;
    uint32_t min_size;
    void (*parse)(const struct parser *p, const uint8_t *table, uint32_t size);
} tables[] = {
    { "APIC", MADT_ENTRIES, parse_madt },
    { "FACP", FADT_V1_SIZE, parse_fadt },
    { "HPET", HPET_TABLE_SIZE, parse_hpet },
};

static void parse_one(const struct parser *p, uint64_t phys)
{
    const uint8_t *header = map(p, phys, HEADER_SIZE);
    if (header == NULL) {
        report(p, "root", "leads to a table that cannot be read");
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
        uint32_t size;
        if (memcmp(header, tables[i].signature, SIGNATURE_SIZE))
            continue;
        const uint8_t *table = map_table(p, tables[i].signature, phys, tables[i].min_size, &size);
        if (table)
            tables[i].parse(p, table, size);
    }
}

/* The XSDT has 64-bit pointers, the RSDT 32-bit ones. False: the table is no good. */
static bool parse_root(const struct parser *p, const char *signature, uint64_t phys, uint32_t pointer_size)
{
    uint32_t size;
    const uint8_t *root = map_table(p, signature, phys, HEADER_SIZE, &size);
    if (root == NULL)
        return false;
    for (uint32_t at = HEADER_SIZE; size - at >= pointer_size; at += pointer_size)
        parse_one(p, pointer_size == sizeof(uint64_t) ? read64(root + at) : read32(root + at));
    return true;
}

/* The XSDT's address; 0: there is none. */
static uint64_t find_xsdt(const struct parser *p, uint64_t phys, const uint8_t *rsdp)
{
    if (rsdp[RSDP_REVISION] < 2)
        return 0;
    const uint8_t *extended = map(p, phys, RSDP_V2_SIZE);
    uint32_t length = extended ? read32(extended + RSDP_LENGTH) : 0;
    if (length < RSDP_V2_SIZE || length > RSDP_SIZE_MAX || (extended = map(p, phys, length)) == NULL ||
        !sum_is_zero(extended, length)) {
        report(p, "RSDP", "has a bad extension; the RSDT is used");
        return 0;
    }
    return read64(extended + RSDP_XSDT);
}

void acpi_parse(struct acpi_info *info, struct hpa rsdp, const struct acpi_reader *reader)
{
    struct parser p = { info, reader };
    memset(info, 0, sizeof *info);
    const uint8_t *bytes = rsdp.raw ? map(&p, rsdp.raw, RSDP_V1_SIZE) : NULL;
    if (bytes == NULL || memcmp(bytes, RSDP_SIGNATURE, strlen(RSDP_SIGNATURE)) ||
        !sum_is_zero(bytes, RSDP_V1_SIZE)) {
        report(&p, "RSDP", rsdp.raw ? "is not in order" : "was not found");
        return;
    }
    uint64_t rsdt = read32(bytes + RSDP_RSDT);
    uint64_t xsdt = find_xsdt(&p, rsdp.raw, bytes);
    if (xsdt && parse_root(&p, "XSDT", xsdt, sizeof(uint64_t)))
        return;
    parse_root(&p, "RSDT", rsdt, sizeof(uint32_t));
}
