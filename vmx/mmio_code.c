/* Finding an instruction again without walking the guest's page tables again: see struct mmio_code in vmx/mmio.h. */
#include <string.h>
#include "kernel/lib/addr.h"
#include "vmx/guest_access.h"
#include "vmx/mmio.h"
#include "vmx/vcpu.h"
#include "vmx/vm.h"

bool mmio_code_is_known(const struct mmio_cache_entry *entry, uint64_t linear)
{
    const struct mmio_code *code = &entry->code;
    if (!code->bytes || code->linear != linear || code->cr3 != vmcs_read(GUEST_CR3) || code->cr0 != vmcs_read(GUEST_CR0) ||
        code->cr4 != vmcs_read(GUEST_CR4) || code->efer != vmcs_read(GUEST_IA32_EFER))
        return false;
    for (unsigned i = 0; i < code->levels; i++)
        if (__atomic_load_n(code->entry[i], __ATOMIC_RELAXED) != code->value[i])
            return false;
    uint64_t now[2], then[2];
    memcpy(now, code->bytes, sizeof now);
    memcpy(then, entry->bytes, sizeof then);
    return now[0] == then[0] && now[1] == then[1];
}

/* A walk that remembers what it read, and changes nothing. */
struct noted_walk {
    const struct guest_memory *memory;
    struct mmio_code *code;
};

static bool note_entry(void *context, uint64_t gpa, void *out, size_t size)
{
    struct noted_walk *walk = context;
    struct mmio_code *code = walk->code;
    const uint64_t *entry = guest_memory_at(walk->memory, (struct gpa){ gpa }, size);
    if (!entry || size != sizeof *entry || code->levels == MMIO_LEVELS_MAX)
        return false;
    code->entry[code->levels] = entry;
    code->value[code->levels] = *entry;
    memcpy(out, &code->value[code->levels], size);
    code->levels++;
    return true;
}

static bool change_nothing(void *context, uint64_t gpa, uint64_t old, uint64_t new, size_t size)
{
    (void)context, (void)gpa, (void)old, (void)new, (void)size;
    return false;
}

void mmio_code_note(struct vcpu *vcpu, struct mmio_cache_entry *entry, uint64_t linear)
{
    struct walk_state paging;
    struct mmio_code *code = &entry->code;
    struct noted_walk walk = { &vcpu->vm->memory, code };
    const struct walk_memory memory = { note_entry, change_nothing, &walk };
    uint32_t error_code;
    uint64_t gpa;
    guest_paging(&paging);
    *code = (struct mmio_code){ linear, paging.cr0, paging.cr3, paging.cr4, paging.efer, NULL, 0, { NULL }, { 0 } };
    if (entry->mode == MMIO_64BIT && linear % PAGE_SIZE <= PAGE_SIZE - sizeof entry->bytes &&
        guest_walk(&paging, &memory, linear, WALK_EXECUTE, &gpa, &error_code) == WALK_OK)
        code->bytes = guest_memory_at(&vcpu->vm->memory, (struct gpa){ gpa }, sizeof entry->bytes);
    if (code->bytes)
        memcpy(entry->bytes, code->bytes, sizeof entry->bytes);
}
