/*
 * hello: the climb from real mode to long mode, with a line from each, and then a halt that nothing can end:
 * HLT with interrupts off, upon which the pod reports that the guest has ended. `exit=N` ends by the exit
 * port with code N instead.
 */
#include "guests/lib/guest.h"
#include "guests/lib/insn.h"
#include "guests/lib/machine.h"

#define EXIT_NONE 256

const char guest_name[] = "hello";
extern const char guest_real_mode_message[], guest_protected_mode_message[];    /* for start.S, which sends them */
const char guest_real_mode_message[] = "hello: real mode\n";
const char guest_protected_mode_message[] = "hello: protected mode\n";

void guest_main(void)
{
    uint64_t code = option_number("exit", EXIT_NONE, 0, EXIT_NONE);

    print("hello: long mode, CR0 0x%lx CR4 0x%lx EFER 0x%lx, %lu MiB of RAM\n", read_cr0(), read_cr4(),
          rdmsr(IA32_EFER), guest_ram_size() >> 20);
    if (code < EXIT_NONE)
        guest_end((unsigned)code);
    print("hello: halt\n");
    halt_forever();
}
