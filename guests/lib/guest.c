#include "guests/lib/guest.h"
#include "guests/lib/cmdline.h"
#include "guests/lib/format.h"
#include "guests/lib/insn.h"
#include "guests/lib/interrupt.h"
#include "guests/lib/machine.h"
#include "guests/lib/serial.h"

static const char *command_line(void)
{
    return (const char *)COMMAND_LINE_ADDRESS;
}

void guest_start(void)
{
    interrupt_init();
    guest_main();
    guest_pass();
}

void print(const char *text, ...)
{
    va_list arguments;

    va_start(arguments, text);
    format(serial_put, text, arguments);
    va_end(arguments);
}

_Noreturn void guest_end(unsigned code)
{
    outb(PORT_EXIT, (uint8_t)code);
    halt_forever();
    __builtin_unreachable();
}

_Noreturn void guest_pass(void)
{
    print("%s: pass\n", guest_name);
    guest_end(GUEST_EXIT_PASS);
}

_Noreturn void guest_fail(const char *what, ...)
{
    va_list arguments;

    print("%s: FAIL ", guest_name);
    va_start(arguments, what);
    format(serial_put, what, arguments);
    va_end(arguments);
    serial_put('\n');
    guest_end(GUEST_EXIT_FAIL);
}

void guest_expect(const char *what, uint64_t expected, uint64_t found)
{
    if (expected != found)
        guest_fail("%s: expected 0x%lx, found 0x%lx", what, expected, found);
}

uint64_t option_number(const char *key, uint64_t preset, uint64_t minimum, uint64_t maximum)
{
    uint64_t value = preset;

    if (!cmdline_number(command_line(), key, &value) || value < minimum || value > maximum) {
        print("%s: FAIL option %s must be a number from %lu to %lu\n", guest_name, key, minimum, maximum);
        guest_end(GUEST_EXIT_OPTION);
    }
    return value;
}

unsigned option_choice(const char *key, const char *const *words, unsigned count, unsigned preset)
{
    unsigned index = preset;

    if (!cmdline_choice(command_line(), key, words, count, &index)) {
        print("%s: FAIL option %s must be one of", guest_name, key);
        for (unsigned i = 0; i < count; i++)
            print(" %s", words[i]);
        print("\n");
        guest_end(GUEST_EXIT_OPTION);
    }
    return index;
}

uint64_t guest_ram_size(void)
{
    uint64_t size = *(const volatile uint64_t *)RAM_SIZE_ADDRESS;

    return size < MAPPED_LIMIT ? size : MAPPED_LIMIT;
}
