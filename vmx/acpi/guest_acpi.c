/* The tables lie one after the other, each from a multiple of 64, the strictest alignment (the FACS's: 5.2.10). */
#include "vmx/acpi/guest_acpi.h"

#include <string.h>
#include "kernel/lib/util.h"
#include "dsdt.hex"
#include "facp.hex"

#define TABLE_ALIGN 64
#define OEM_ID "TELEPD"
#define OEM_TABLE_ID "TELEPOD "
#define CREATOR_ID "TELE"

#define LOCAL_APIC_ADDRESS 0xfee00000u
#define IO_APIC_ADDRESS 0xfec00000u
#define ISA_TIMER_IRQ 0
#define ISA_TIMER_GSI 2
#define SCI_GSI 9

/* 5.2.5.3 "Root System Description Pointer (RSDP) Structure" */
struct rsdp {
    char signature[8];
    uint8_t checksum;           /* over the first 20 bytes */
    char oem_id[6];
    uint8_t revision;
    uint32_t rsdt;
    uint32_t length;
    uint64_t xsdt;
    uint8_t extended_checksum;  /* over all */
    uint8_t reserved[3];
} __attribute__((packed));
_Static_assert(sizeof(struct rsdp) == 36, "5.2.5.3");
#define RSDP_CHECKSUM_BYTES 20
#define RSDP_REVISION 2

/* 5.2.6 "System Description Table Header" */
struct table_header {
    char signature[4];
    uint32_t length;
    uint8_t revision, checksum;
    char oem_id[6], oem_table_id[8];
    uint32_t oem_revision;
    char creator_id[4];
    uint32_t creator_revision;
} __attribute__((packed));
_Static_assert(sizeof(struct table_header) == 36, "5.2.6");

struct xsdt {
    struct table_header header;
    uint64_t fadt, madt;
} __attribute__((packed));

/* 5.2.10 "Firmware ACPI Control Structure (FACS)": has no checksum. */
struct facs {
    char signature[4];
    uint32_t length;
    uint8_t zero[24];
    uint8_t version;
    uint8_t reserved[31];
} __attribute__((packed));
_Static_assert(sizeof(struct facs) == 64, "5.2.10");

/* 5.2.9 "Fixed ACPI Description Table (FADT)": where facp.asl leaves zeros. */
#define FADT_CHECKSUM 9
#define FADT_FIRMWARE_CTRL 36
#define FADT_DSDT 40
#define FADT_X_DSDT 140

/* 5.2.12 "Multiple APIC Description Table (MADT)" */
struct madt {
    struct table_header header;
    uint32_t local_apic;
    uint32_t flags;
} __attribute__((packed));
#define MADT_PCAT_COMPAT BIT(0) /* there is a pair of 8259As */

enum madt_type { MADT_LOCAL_APIC = 0, MADT_IO_APIC = 1, MADT_OVERRIDE = 2, MADT_LOCAL_APIC_NMI = 4 };

struct madt_local_apic { uint8_t type, length, processor, apic_id; uint32_t flags; } __attribute__((packed));
struct madt_io_apic { uint8_t type, length, id, reserved; uint32_t address, gsi_base; } __attribute__((packed));
struct madt_override { uint8_t type, length, bus, source; uint32_t gsi; uint16_t flags; } __attribute__((packed));
struct madt_nmi { uint8_t type, length, processor; uint16_t flags; uint8_t lint; } __attribute__((packed));
#define MADT_ENABLED 1u
#define MADT_ALL_PROCESSORS 0xff
/* Table 5-26 "MPS INTI Flags" */
#define INTI_AS_BUS 0u
#define INTI_ACTIVE_HIGH 1u
#define INTI_EDGE (1u << 2)
#define INTI_LEVEL (3u << 2)

/* All bytes of a table, the checksum too, sum to 0. */
static uint8_t checksum(const void *bytes, size_t size)
{
    uint8_t sum = 0;
    for (size_t i = 0; i < size; i++)
        sum = (uint8_t)(sum + ((const uint8_t *)bytes)[i]);
    return (uint8_t)-sum;
}

static void finish(struct table_header *header, const char *signature, uint8_t revision, size_t length)
{
    memcpy(header->signature, signature, sizeof header->signature);
    header->length = (uint32_t)length;
    header->revision = revision;
    memcpy(header->oem_id, OEM_ID, sizeof header->oem_id);
    memcpy(header->oem_table_id, OEM_TABLE_ID, sizeof header->oem_table_id);
    header->oem_revision = 1;
    memcpy(header->creator_id, CREATOR_ID, sizeof header->creator_id);
    header->creator_revision = 1;
    header->checksum = 0;
    header->checksum = checksum(header, length);
}

static size_t madt_size(uint32_t vcpus)
{
    return sizeof(struct madt) + vcpus * sizeof(struct madt_local_apic) + sizeof(struct madt_io_apic) +
           2 * sizeof(struct madt_override) + sizeof(struct madt_nmi);
}

static void append(uint8_t **at, const void *entry, size_t size)
{
    memcpy(*at, entry, size);
    *at += size;
}

static void build_madt(uint8_t *out, uint32_t vcpus)
{
    struct madt *madt = (struct madt *)out;
    uint8_t *at = out + sizeof *madt;
    *madt = (struct madt){ .local_apic = LOCAL_APIC_ADDRESS, .flags = MADT_PCAT_COMPAT };
    for (uint32_t i = 0; i < vcpus; i++)
        append(&at, &(struct madt_local_apic){ MADT_LOCAL_APIC, sizeof(struct madt_local_apic), (uint8_t)i, (uint8_t)i,
                                               MADT_ENABLED }, sizeof(struct madt_local_apic));
    append(&at, &(struct madt_io_apic){ MADT_IO_APIC, sizeof(struct madt_io_apic), (uint8_t)vcpus, 0, IO_APIC_ADDRESS, 0 },
           sizeof(struct madt_io_apic));
    append(&at, &(struct madt_override){ MADT_OVERRIDE, sizeof(struct madt_override), 0, ISA_TIMER_IRQ, ISA_TIMER_GSI,
                                         INTI_AS_BUS }, sizeof(struct madt_override));
    append(&at, &(struct madt_override){ MADT_OVERRIDE, sizeof(struct madt_override), 0, SCI_GSI, SCI_GSI,
                                         INTI_ACTIVE_HIGH | INTI_LEVEL }, sizeof(struct madt_override));
    append(&at, &(struct madt_nmi){ MADT_LOCAL_APIC_NMI, sizeof(struct madt_nmi), MADT_ALL_PROCESSORS,
                                    INTI_ACTIVE_HIGH | INTI_EDGE, 1 }, sizeof(struct madt_nmi));
    finish(&madt->header, "APIC", 4, (size_t)(at - out));
}

static void put32(uint8_t *at, uint64_t value)
{
    uint32_t low = (uint32_t)value;
    memcpy(at, &low, sizeof low);
}

static void build_fadt(uint8_t *out, uint64_t facs, uint64_t dsdt)
{
    memcpy(out, facp_aml_code, sizeof facp_aml_code);
    /* 5.2.9: of the two fields for the FACS one must be 0 (X_FIRMWARE_CTRL, as facp.asl has it); both name the DSDT. */
    put32(out + FADT_FIRMWARE_CTRL, facs);
    put32(out + FADT_DSDT, dsdt);
    memcpy(out + FADT_X_DSDT, &dsdt, sizeof dsdt);
    out[FADT_CHECKSUM] = 0;
    out[FADT_CHECKSUM] = checksum(out, sizeof facp_aml_code);
}

static void build_rsdp(struct rsdp *rsdp, uint64_t xsdt)
{
    *rsdp = (struct rsdp){ .revision = RSDP_REVISION, .length = sizeof *rsdp, .xsdt = xsdt };
    memcpy(rsdp->signature, "RSD PTR ", sizeof rsdp->signature);
    memcpy(rsdp->oem_id, OEM_ID, sizeof rsdp->oem_id);
    rsdp->checksum = checksum(rsdp, RSDP_CHECKSUM_BYTES);
    rsdp->extended_checksum = checksum(rsdp, sizeof *rsdp);
}

enum place { RSDP, XSDT, FACS, DSDT, FADT, MADT, PLACES };

size_t guest_acpi_build(void *out, size_t size, uint64_t base, uint32_t vcpus)
{
    const size_t sizes[PLACES] = {
        [RSDP] = sizeof(struct rsdp), [XSDT] = sizeof(struct xsdt), [FACS] = sizeof(struct facs),
        [DSDT] = sizeof dsdt_aml_code, [FADT] = sizeof facp_aml_code, [MADT] = madt_size(vcpus),
    };
    size_t at[PLACES], end = 0;
    uint8_t *bytes = out;
    for (unsigned i = 0; i < PLACES; i++) {
        at[i] = ALIGN_UP(end, (size_t)TABLE_ALIGN);
        end = at[i] + sizes[i];
    }
    if (size < end)
        return 0;
    memset(out, 0, end);
    build_rsdp((struct rsdp *)(bytes + at[RSDP]), base + at[XSDT]);
    struct xsdt *xsdt = (struct xsdt *)(bytes + at[XSDT]);
    *xsdt = (struct xsdt){ .fadt = base + at[FADT], .madt = base + at[MADT] };
    finish(&xsdt->header, "XSDT", 1, sizeof *xsdt);
    struct facs *facs = (struct facs *)(bytes + at[FACS]);
    *facs = (struct facs){ .length = sizeof *facs, .version = 2 };
    memcpy(facs->signature, "FACS", sizeof facs->signature);
    memcpy(bytes + at[DSDT], dsdt_aml_code, sizeof dsdt_aml_code);
    build_fadt(bytes + at[FADT], base + at[FACS], base + at[DSDT]);
    build_madt(bytes + at[MADT], vcpus);
    return end;
}
