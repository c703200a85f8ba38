/* See mtrr.h. The same checks serve WRMSR and a received state. */
#include "vmx/mtrr.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "kernel/arch/msr.h"
#include "kernel/lib/util.h"

/* SDM Vol. 4, Table 2-2 */
#define IA32_MTRR_PHYSBASE0 0x200u
#define IA32_MTRR_PHYS_END (IA32_MTRR_PHYSBASE0 + 2 * MTRR_VARIABLE_RANGES)
static const uint16_t fixed_msrs[MTRR_FIXED_RANGES] = { 0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d,
                                                        0x26e, 0x26f };

/* Figure 12-5 "IA32_MTRRCAP Register": how many variable ranges; fixed ranges and write combining are there. */
#define MTRRCAP_VALUE (MTRR_VARIABLE_RANGES | BIT(8) | BIT(10))
/* Figure 12-6 "IA32_MTRR_DEF_TYPE MSR" */
#define DEF_TYPE_ENABLE BIT(11)
#define DEF_TYPE_FIXED_ENABLE BIT(10)
#define TYPE_MASK 0xffu
#define TYPE_WRITE_BACK 6u
/* Figure 12-7 "IA32_MTRR_PHYSBASEn and IA32_MTRR_PHYSMASKn" */
#define PHYSMASK_VALID BIT(11)
#define PHYS_ADDRESS_SHIFT 12
#define ADDRESS_BITS_MAX 52

/* Table 12-8 "Memory Types That Can Be Encoded in MTRRs": UC, WC, WT, WP, WB. */
static bool is_type(uint64_t type)
{
    return type == 0 || type == 1 || (type >= 4 && type <= TYPE_WRITE_BACK);
}

static bool are_types(uint64_t value)
{
    for (unsigned i = 0; i < sizeof value; i++)
        if (!is_type(value >> 8 * i & TYPE_MASK))
            return false;
    return true;
}

static bool is_def_type(uint64_t value)
{
    return !(value & ~(DEF_TYPE_ENABLE | DEF_TYPE_FIXED_ENABLE | TYPE_MASK)) && is_type(value & TYPE_MASK);
}

static uint64_t address_mask(unsigned bits)
{
    return BIT(MIN(bits, ADDRESS_BITS_MAX)) - BIT(PHYS_ADDRESS_SHIFT);
}

static bool is_physbase(uint64_t value, unsigned address_bits)
{
    return !(value & ~(address_mask(address_bits) | TYPE_MASK)) && is_type(value & TYPE_MASK);
}

static bool is_physmask(uint64_t value, unsigned address_bits)
{
    return !(value & ~(address_mask(address_bits) | PHYSMASK_VALID));
}

void mtrr_reset(struct state_mtrr *mtrr)
{
    memset(mtrr, 0, sizeof *mtrr);
    mtrr->def_type = DEF_TYPE_ENABLE | TYPE_WRITE_BACK;
}

/* The fixed-range register's number, or -1. */
static int fixed_index(uint32_t msr)
{
    for (unsigned i = 0; i < MTRR_FIXED_RANGES; i++)
        if (fixed_msrs[i] == msr)
            return (int)i;
    return -1;
}

static bool is_variable(uint32_t msr)
{
    return msr >= IA32_MTRR_PHYSBASE0 && msr < IA32_MTRR_PHYS_END;
}

bool mtrr_is_msr(uint32_t msr)
{
    return msr == IA32_MTRRCAP || msr == IA32_MTRR_DEF_TYPE || is_variable(msr) || fixed_index(msr) >= 0;
}

/* The member that is this MSR; NULL: IA32_MTRRCAP. */
static uint64_t *place_of(struct state_mtrr *mtrr, uint32_t msr)
{
    unsigned i = (msr - IA32_MTRR_PHYSBASE0) / 2;
    if (is_variable(msr))
        return msr % 2 ? &mtrr->physmask[i] : &mtrr->physbase[i];
    if (msr == IA32_MTRR_DEF_TYPE)
        return &mtrr->def_type;
    return fixed_index(msr) >= 0 ? &mtrr->fixed[fixed_index(msr)] : NULL;
}

bool mtrr_read(const struct state_mtrr *mtrr, uint32_t msr, uint64_t *value)
{
    const uint64_t *place = place_of((struct state_mtrr *)mtrr, msr);
    *value = place ? *place : MTRRCAP_VALUE;
    return true;
}

bool mtrr_write(struct state_mtrr *mtrr, uint32_t msr, unsigned address_bits, uint64_t value)
{
    uint64_t *place = place_of(mtrr, msr);
    bool good;
    if (!place)
        return false;
    if (is_variable(msr))
        good = msr % 2 ? is_physmask(value, address_bits) : is_physbase(value, address_bits);
    else
        good = msr == IA32_MTRR_DEF_TYPE ? is_def_type(value) : are_types(value);
    if (good)
        *place = value;
    return good;
}

static enum err mtrr_check(const void *decoded, char *why, size_t why_size)
{
    const struct state_mtrr *m = decoded;
    uint64_t bad = is_def_type(m->def_type) ? 0 : m->def_type;
    for (unsigned i = 0; i < MTRR_FIXED_RANGES; i++)
        bad = are_types(m->fixed[i]) ? bad : m->fixed[i];
    for (unsigned i = 0; i < MTRR_VARIABLE_RANGES; i++) {
        bad = is_physbase(m->physbase[i], ADDRESS_BITS_MAX) ? bad : m->physbase[i];
        bad = is_physmask(m->physmask[i], ADDRESS_BITS_MAX) ? bad : m->physmask[i];
    }
    if (bad) {
        snprintf(why, why_size, "section mtrr: 0x%" PRIx64 " is no value that an MTRR can have", bad);
        return ERR_INVALID;
    }
    return OK;
}

static const struct field mtrr_fields[] = {
    FIELD(struct state_mtrr, def_type, 0),
    FIELD_ARRAY(struct state_mtrr, fixed, 0),
    FIELD_ARRAY(struct state_mtrr, physbase, 0),
    FIELD_ARRAY(struct state_mtrr, physmask, 0),
};

const struct section mtrr_section = { .name = "mtrr", .version = 1, .fields = mtrr_fields,
                                      .field_count = ARRAY_SIZE(mtrr_fields),
                                      .struct_size = sizeof(struct state_mtrr), .check = mtrr_check };
