/*
 * ports: IN and OUT at every port, as byte, word and doubleword, and the string forms at one: to devices nonsense, to the
 * rest nothing. The machine must survive, and what nobody answers reads as all ones (guests/ABI.md). Left out: the exit
 * port, the reset port, and COM1, which carries the verdict. Option: last=65535, to stop earlier.
 */
#include "guests/lib/guest.h"
#include "guests/lib/insn.h"
#include "guests/lib/machine.h"

#define PORT_DEAD 0x2F0             /* no device of ours, nor of a PC */
#define UART_PORTS 8
#define PORT_RESET 0xCF9
#define STRING_BYTES 8
#define PROGRESS_PORTS 0x4000

const char guest_name[] = "ports";

/* Does an access of `size` bytes at `port` touch a port that is left out? */
static bool left_out(uint32_t port, unsigned size)
{
    bool exit_port = port <= PORT_EXIT && port + size > PORT_EXIT;
    bool com1 = port < PORT_COM1 + UART_PORTS && port + size > PORT_COM1;

    bool reset = port <= PORT_RESET && port + size > PORT_RESET;

    return exit_port || com1 || reset;
}

static void touch(uint16_t port)
{
    if (!left_out(port, 1)) {
        inb(port);
        outb(port, 0x55);
    }
    if (!left_out(port, 2)) {
        inw(port);
        outw(port, 0x5555);
    }
    if (!left_out(port, 4)) {
        inl(port);
        outl(port, 0x55555555);
    }
}

static void check_dead_port(void)
{
    if (inb(PORT_DEAD) != 0xFF || inw(PORT_DEAD) != 0xFFFF || inl(PORT_DEAD) != 0xFFFFFFFF)
        guest_fail("port 0x%x does not read as all ones", PORT_DEAD);
}

/* INS and OUTS have their operand in memory: the registers must move on, the count must end at 0. */
static void check_strings(void)
{
    uint8_t buffer[STRING_BYTES] = { 0 }, *to = buffer;
    const uint8_t *from = buffer;
    uint64_t count = STRING_BYTES;

    __asm__ volatile("rep insb" : "+D"(to), "+c"(count) : "d"(PORT_DEAD) : "memory");
    if (count != 0 || to != buffer + STRING_BYTES)
        guest_fail("REP INSB left a count of %lu", count);
    for (unsigned i = 0; i < STRING_BYTES; i++)
        if (buffer[i] != 0xFF)
            guest_fail("REP INSB read 0x%x from port 0x%x", buffer[i], PORT_DEAD);
    count = STRING_BYTES;
    __asm__ volatile("rep outsb" : "+S"(from), "+c"(count) : "d"(PORT_DEAD) : "memory");
    if (count != 0 || from != buffer + STRING_BYTES)
        guest_fail("REP OUTSB left a count of %lu", count);
}

void guest_main(void)
{
    uint32_t last = (uint32_t)option_number("last", 0xFFFF, 0, 0xFFFF);

    check_dead_port();
    for (uint32_t port = 0; port <= last; port++) {
        touch((uint16_t)port);
        if (port % PROGRESS_PORTS == 0)
            print("ports: 0x%x...\n", port);
    }
    check_dead_port();
    print("ports: strings\n");
    check_strings();
}
