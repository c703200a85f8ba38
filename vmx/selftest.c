/* Guarantee: every page is accessible again when the test ends, whatever its guests did meanwhile. */
#include "vmx/selftest.h"

#include "kernel/lib/util.h"
#include "kernel/thread.h"
#include "kernel/time.h"
#include "vmx/apicv.h"
#include "vmx/vcpu.h"
#include "vmx/vm.h"
#include "vmx/vm_internal.h"
#include "vmx/vmx.h"

#define DURATION_MS 2000
#define PERIOD_US 300
#define EPT_LEVELS 4
#define EPT_INDEX_BITS 9
#define EPT_RIGHTS (EPT_READ | EPT_WRITE | EPT_EXECUTE)

/* The leaf entry that maps `gpa`; NULL if a table on the way is missing. *size: bytes that it maps. */
static uint64_t *leaf_entry(struct vm *vm, uint64_t gpa, uint64_t *size)
{
    struct hpa table = vm->memory.ept.root;
    for (unsigned level = EPT_LEVELS;; level--) {
        unsigned shift = PAGE_SHIFT + EPT_INDEX_BITS * (level - 1);
        uint64_t *entries = vm->memory.ept.memory.to_virt(vm->memory.ept.memory.context, table);
        uint64_t *entry = &entries[gpa >> shift & (BIT(EPT_INDEX_BITS) - 1)];
        *size = BIT(shift);
        if (level == 1 || (*entry & EPT_LARGE))
            return entry;
        table.raw = *entry & EPT_ADDRESS_MASK;
        if (table.raw == 0)
            return NULL;
    }
}

static void set_rights(struct vm *vm, uint64_t rights)
{
    uint64_t size;
    for (uint64_t gpa = 0; gpa < vm->memory.size; gpa += size) {
        uint64_t *entry = leaf_entry(vm, gpa, &size);
        if (entry)
            *entry = (*entry & ~EPT_RIGHTS) | rights;
    }
    vm_ept_changed(vm);
}

/* No INVEPT: entries without rights are not cached, and the violation itself drops the access's own (SDM 29.4.3.1). */
static bool give_page(struct vm *vm, struct gpa gpa)
{
    uint64_t size, *entry = leaf_entry(vm, gpa.raw, &size);
    if (!entry || (*entry & EPT_RIGHTS) == EPT_RIGHTS)
        return false;
    *entry |= EPT_RIGHTS;
    return true;
}

/* Both with the machine held. By pages of 4 KiB: one that is given back must not bring all the others along. */
static void take_all(struct vm *vm)
{
    vm->page_missing = give_page;
    apicv_reconsider(vm);
    if (!vm->memory.tracking)
        guest_memory_track_start(&vm->memory); /* without memory for it, the test is a weaker one */
    set_rights(vm, 0);
}

static void give_all(struct vm *vm)
{
    set_rights(vm, EPT_RIGHTS);
    vm->page_missing = NULL;
    apicv_reconsider(vm);
    guest_memory_track_stop(&vm->memory);
    vm_ept_changed(vm);
}

static uint64_t for_all_guests(void (*fn)(struct vm *))
{
    uint64_t recovered = 0;
    for (uint32_t i = 0; i < VMS_MAX; i++) {
        struct vm *vm = vm_by_index(i);
        if (!vm || vm->vcpu_count == 0)
            continue;
        vm_hold(vm);
        fn(vm);
        for (uint32_t j = 0; j < vm->vcpu_count; j++)
            recovered += vm->vcpus[j]->events_recovered;
        vm_release(vm);
    }
    return recovered;
}

bool vmx_selftest_delivery(uint64_t *value)
{
    uint64_t end = time_after_ms(DURATION_MS), before = for_all_guests(take_all);
    while (time_now() < end) {
        thread_sleep_until(time_after_us(PERIOD_US));
        for_all_guests(take_all);
    }
    uint64_t after = for_all_guests(give_all);
    *value = after > before ? after - before : 0; /* a guest that was stopped meanwhile takes its count along */
    return *value > 0;
}
