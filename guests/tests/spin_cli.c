/* spin_cli: a loop with interrupts off. The pod and its other guests must go on, and `stop` must end this one. */
#include "guests/lib/guest.h"
#include "guests/lib/insn.h"

const char guest_name[] = "spin_cli";

void guest_main(void)
{
    print("spin_cli: spinning\n");
    interrupts_disable();
    for (;;)
        __asm__ volatile("");
}
