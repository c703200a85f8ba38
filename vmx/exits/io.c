/*
 * IN and OUT. Two devices answer: the UART, and the port at which a guest ends itself. All else reads as ones and
 * swallows writes, as an empty bus does; it is counted, and the first few ports are logged once each.
 */
#include <stdbool.h>
#include "kernel/lib/util.h"
#include "kernel/log.h"
#include "vmx/devices/uart.h"
#include "vmx/exits/io.h"
#include "vmx/vcpu.h"
#include "vmx/vm.h"
#include "vmx/vm_internal.h"

#define COM1_PORT 0x3f8
#define EXIT_PORT 0xf4
#define NOTHING_THERE 0xff

static bool is_uart(uint16_t port)
{
    return port >= COM1_PORT && port < COM1_PORT + UART_PORT_COUNT;
}

uint8_t io_read_byte(struct vcpu *vcpu, uint16_t port)
{
    if (is_uart(port))
        return uart_read(&vcpu->vm->uart, port - COM1_PORT);
    vm_note_stray(vcpu->vm, &vcpu->vm->stray_ports, "nothing answers at port", port);
    return NOTHING_THERE;
}

void io_write_byte(struct vcpu *vcpu, uint16_t port, uint8_t value)
{
    uint8_t sent;
    if (is_uart(port)) {
        if (uart_write(&vcpu->vm->uart, port - COM1_PORT, value, &sent))
            vm_console_output(vcpu->vm, (char)sent);
    } else if (port == EXIT_PORT) {
        vcpu_stop_guest(vcpu, "exit code %u", value);
    } else {
        vm_note_stray(vcpu->vm, &vcpu->vm->stray_ports, "nothing answers at port", port);
    }
}

/* AL and AX leave the rest of RAX alone; EAX clears its upper half (SDM Vol. 1, 3.4.1.1). */
static void set_rax(struct vcpu *vcpu, unsigned size, uint32_t value)
{
    uint64_t keep = size == 4 ? 0 : ~(BIT(8 * size) - 1);
    vcpu->gpr[GPR_RAX] = (vcpu->gpr[GPR_RAX] & keep) | value;
}

/* A wide access is one access a byte at consecutive ports, as on an 8-bit bus. */
enum exit_action exit_io(struct vcpu *vcpu)
{
    uint64_t q = vmcs_read(EXIT_QUALIFICATION);
    uint16_t port = IO_PORT(q);
    unsigned size = IO_SIZE(q);
    uint32_t value = 0;
    if (q & IO_STRING)
        return exit_io_string(vcpu, q);
    for (unsigned i = 0; i < size; i++) {
        if (q & IO_IN)
            value |= (uint32_t)io_read_byte(vcpu, (uint16_t)(port + i)) << (8 * i);
        else
            io_write_byte(vcpu, (uint16_t)(port + i), (uint8_t)(vcpu->gpr[GPR_RAX] >> (8 * i)));
    }
    if (q & IO_IN)
        set_rax(vcpu, size, value);
    vcpu_skip_instruction(vcpu);
    return EXIT_REENTER;
}
