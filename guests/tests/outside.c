/*
 * outside: an access beyond RAM. The pod must end this guest with a sentence that names the address, and go on.
 * Option: access=write|read|execute. The last word of RAM, on the right side of the edge, must work.
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
        break;
    case 1:
        (void)edge[0];
        break;
    default:
        ((void (*)(void))end)();
    }
    guest_fail("an access beyond RAM was survived");
}
