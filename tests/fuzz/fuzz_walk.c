/*
 * Any paging structures as a guest's own, in any paging mode: the software walk ends, and what it finds lies in
 * the physical-address space and has the offset in its page.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "kernel/lib/addr.h"
#include "vmx/guest_walk.h"

#define RAM_SIZE 8192
#include "tests/fakes/ram.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What the input begins with; the guest's memory follows. */
struct request {
    uint64_t cr0, cr3, cr4, efer, rflags, pdpte[4], linear;
    uint8_t user, access, reserved[6];
};

static void require(int promise)
{
    if (!promise)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct walk_memory memory = { ram_read, ram_update, NULL };
    const uint64_t physical_limit = 1ull << 52;
    struct request r;
    uint64_t gpa = 0;
    uint32_t error_code = 0;
    if (size < sizeof r)
        return 0;
    memcpy(&r, data, sizeof r);
    struct walk_state state = { r.cr0, r.cr3, r.cr4, r.efer, r.rflags, { 0 }, r.user & 1 };
    memcpy(state.pdpte, r.pdpte, sizeof state.pdpte);
    memset(ram, 0, sizeof ram);
    memcpy(ram, data + sizeof r, size - sizeof r < RAM_SIZE ? size - sizeof r : RAM_SIZE);
    if (guest_walk(&state, &memory, r.linear, r.access % (WALK_EXECUTE + 1), &gpa, &error_code) == WALK_OK)
        require(gpa < physical_limit && gpa % PAGE_SIZE == r.linear % PAGE_SIZE);
    return 0;
}
