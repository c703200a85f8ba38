/*
 * outside: an access beyond RAM, where nobody answers: reads are all ones, writes are swallowed. Code there ends the guest with
 * a sentence that names the address, and the pod goes on. Option: access=write|read|execute. The last word of RAM, on the
 * right side of the edge, must work; so must an access that crosses the edge.
 */
#include "guests/lib/guest.h"
#include "guests/lib/machine.h"

const char guest_name[] = "outside";

void guest_main(void)
{
    static const char *const words[] = { "write", "read", "execute" };
    unsigned access = option_choice("access", words, 3, 0);
    uint64_t end = guest_ram_size();
    volatile uint64_t *edge = (volatile uint64_t *)end;

    if (end >= MAPPED_LIMIT)
        guest_fail("needs less than 4 GiB of RAM");
    edge[-1] = end;
    if (edge[-1] != end)
        guest_fail("the last word of RAM does not hold what was written");
    print("outside: %s at 0x%lx\n", words[access], end);
    switch (access) {
    case 0:
        edge[0] = end;
        *(volatile uint32_t *)(end - 2) = 0x11223344;
        if (edge[-1] >> 48 != 0x3344)
            guest_fail("a write across the end of RAM left 0x%lx", edge[-1]);
        break;
    case 1:
        if (edge[0] != UINT64_MAX)
            guest_fail("a read beyond RAM gave 0x%lx", edge[0]);
        edge[-1] = 0x5566778811223344;
        if (*(volatile uint64_t *)(end - 3) != 0xffffffffff556677)
            guest_fail("a read across the end of RAM gave 0x%lx", *(volatile uint64_t *)(end - 3));
        break;
    default:
        ((void (*)(void))end)();
        guest_fail("code beyond RAM was survived");
    }
}
