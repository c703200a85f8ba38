/* triple: an exception without an IDT, thus a triple fault. The pod must end this guest, say so, and go on. */
#include "guests/lib/guest.h"
#include "guests/lib/insn.h"

const char guest_name[] = "triple";

void guest_main(void)
{
    struct descriptor_table none = { 0, 0 };

    print("triple: now\n");
    lidt(&none);
    __asm__ volatile("ud2");
    guest_fail("an exception without an IDT was survived");
}
