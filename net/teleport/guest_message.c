/* What GUEST says of a machine: see guest_message.h. */
#include "net/teleport/guest_message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/lib/util.h"
#include "mm/guest_memory.h"
#include "vmx/vm_image.h"

static void add_range(struct msg_guest *m, enum memory_range_kind kind, uint64_t base, uint64_t size)
{
    if (!size)
        return;
    m->range_kind[m->range_count] = kind;
    m->range_base[m->range_count] = base;
    m->range_size[m->range_count++] = size;
}

/* In the order of the frame indexes. */
static void make_map(struct msg_guest *m)
{
    add_range(m, MEMORY_RANGE_RAM, 0, guest_memory_low_bytes(m->memory_bytes));
    add_range(m, MEMORY_RANGE_RAM, GUEST_HIGH_RAM_BASE, guest_memory_high_bytes(m->memory_bytes));
    add_range(m, MEMORY_RANGE_DISK, 0, m->disk_bytes);
}

static enum err make_kinds(struct msg_guest *m)
{
    struct guest_config config;
    guest_message_config(m, &config);
    struct vm_image *image = vm_image_new(m->vcpus);
    struct state_part *parts = malloc(VM_IMAGE_PARTS_MAX * sizeof *parts);
    enum err e = image && parts ? OK : ERR_NO_MEMORY;
    if (e == OK) {
        struct state_kind kinds[STATE_KINDS_MAX];
        uint32_t count = vm_image_parts(image, &config, m->state == GUEST_ENDED, parts);
        m->kind_count = state_kinds(parts, count, kinds);
        for (uint32_t i = 0; i < m->kind_count; i++) {
            snprintf(m->kinds[i], KIND_NAME_MAX, "%s", kinds[i].name);
            m->kind_versions[i] = kinds[i].version;
            m->kind_instances[i] = kinds[i].instances;
        }
    }
    free(parts);
    free(image);
    return e;
}

enum err guest_message_make(struct msg_guest *out, const struct guest_config *config, uint64_t memory_bytes,
                            uint64_t disk_bytes, enum msg_guest_state state)
{
    *out = (struct msg_guest){ .memory_bytes = memory_bytes, .disk_bytes = disk_bytes, .vcpus = config->vcpus,
                               .console = config->console, .devices = config->devices, .state = state };
    memcpy(out->name, config->name, sizeof out->name);
    memcpy(out->image, config->image, sizeof out->image);
    memcpy(out->initrd, config->initrd, sizeof out->initrd);
    memcpy(out->disk, config->disk, sizeof out->disk);
    memcpy(out->cmdline, config->cmdline, sizeof out->cmdline);
    memcpy(out->mac, config->mac, sizeof config->mac);
    make_map(out);
    return make_kinds(out);
}

void guest_message_config(const struct msg_guest *m, struct guest_config *out)
{
    *out = (struct guest_config){ .memory_bytes = m->memory_bytes, .disk_bytes = m->disk_bytes, .vcpus = m->vcpus,
                                  .devices = m->devices, .cpu = POD_CPU_ANY, .console = m->console };
    memcpy(out->name, m->name, sizeof out->name);
    memcpy(out->image, m->image, sizeof out->image);
    memcpy(out->initrd, m->initrd, sizeof out->initrd);
    memcpy(out->disk, m->disk, sizeof out->disk);
    memcpy(out->cmdline, m->cmdline, sizeof out->cmdline);
    memcpy(out->mac, m->mac, sizeof out->mac);
}

/* Index of a kind in a message, or its kind_count. */
static uint32_t find_kind(const struct msg_guest *m, const char *name)
{
    uint32_t i = 0;
    while (i < m->kind_count && strcmp(m->kinds[i], name))
        i++;
    return i;
}

static enum err check_kinds(const struct msg_guest *m, const struct msg_guest *here, char *why, size_t why_size)
{
    for (uint32_t i = 0; i < m->kind_count; i++) {
        uint32_t k = find_kind(here, m->kinds[i]);
        if (k == here->kind_count) {
            snprintf(why, why_size, "this pod has no device %s", m->kinds[i]);
            return ERR_UNSUPPORTED;
        }
        if (m->kind_versions[i] != here->kind_versions[k] || m->kind_instances[i] != here->kind_instances[k]) {
            snprintf(why, why_size, "the guest has %u %s of version %u; this pod would give it %u of version %u",
                     (unsigned)m->kind_instances[i], m->kinds[i], (unsigned)m->kind_versions[i],
                     (unsigned)here->kind_instances[k], (unsigned)here->kind_versions[k]);
            return ERR_UNSUPPORTED;
        }
        if (k != i) {   /* STATE names them by their place */
            snprintf(why, why_size, "the guest's kinds of state are in another order than this pod's");
            return ERR_UNSUPPORTED;
        }
    }
    for (uint32_t k = 0; k < here->kind_count; k++) {
        uint32_t i = find_kind(m, here->kinds[k]);
        if (i == m->kind_count) {
            snprintf(why, why_size, "the guest has no device %s; this pod's machine has", here->kinds[k]);
            return ERR_UNSUPPORTED;
        }
    }
    return m->kind_count == here->kind_count ? OK : ERR_INVALID;
}

static bool same_map(const struct msg_guest *a, const struct msg_guest *b)
{
    return a->range_count == b->range_count && !memcmp(a->range_kind, b->range_kind, sizeof a->range_kind) &&
           !memcmp(a->range_base, b->range_base, sizeof a->range_base) &&
           !memcmp(a->range_size, b->range_size, sizeof a->range_size);
}

enum err guest_message_check_machine(const struct msg_guest *m, char *why, size_t why_size)
{
    struct guest_config config;
    struct msg_guest *here = malloc(sizeof *here);
    snprintf(why, why_size, "no memory to compare the guest's machine with this pod's");
    if (!here)
        return ERR_NO_MEMORY;
    guest_message_config(m, &config);
    enum err e = guest_message_make(here, &config, m->memory_bytes, m->disk_bytes, m->state);
    if (e == OK && !same_map(m, here)) {
        snprintf(why, why_size, "the guest's memory map is not that of this pod's machines");
        e = ERR_UNSUPPORTED;
    }
    if (e == OK) {
        snprintf(why, why_size, "the guest names a device twice");
        e = check_kinds(m, here, why, why_size);
    }
    free(here);
    return e;
}

uint64_t guest_message_first_frame(uint64_t memory_bytes, enum msg_guest_state state)
{
    return state == GUEST_ENDED ? memory_bytes >> PAGE_SHIFT : 0;
}
