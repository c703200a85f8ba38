/* IN and OUT: one access to the bus. */
#include <stdbool.h>
#include "kernel/lib/util.h"
#include "vmx/bus.h"
#include "vmx/exits/io.h"
#include "vmx/vcpu.h"

/* AL and AX leave the rest of RAX alone; EAX clears its upper half (SDM Vol. 1, 3.4.1.1). */
static void set_rax(struct vcpu *vcpu, unsigned size, uint32_t value)
{
    uint64_t keep = size == 4 ? 0 : ~(BIT(8 * size) - 1);
    vcpu->gpr[GPR_RAX] = (vcpu->gpr[GPR_RAX] & keep) | value;
}

enum exit_action exit_io(struct vcpu *vcpu)
{
    uint64_t q = vmcs_read(EXIT_QUALIFICATION);
    uint16_t port = IO_PORT(q);
    unsigned size = IO_SIZE(q);
    if (q & IO_STRING)
        return exit_io_string(vcpu, q);
    if (q & IO_IN)
        set_rax(vcpu, size, bus_port_read(vcpu, port, size));
    else
        bus_port_write(vcpu, port, size, (uint32_t)vcpu->gpr[GPR_RAX] & (uint32_t)(BIT(8 * size) - 1));
    vcpu_skip_instruction(vcpu);
    return EXIT_REENTER;
}
