/* From the bus to the devices: each access gets its device's state, the machine's time, and what the device causes. */
#include "vmx/platform_ports.h"

#include "vmx/platform.h"
#include "vmx/vcpu.h"
#include "vmx/vm.h"
#include "vmx/vm_internal.h"

#define NOTHING_THERE 0xff

static uint64_t read_uart(struct vcpu *vcpu, uint64_t offset, unsigned size)
{
    (void)size;
    return uart_read(&vcpu->vm->platform.uart, (unsigned)offset);
}

static void write_uart(struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t value)
{
    uint8_t sent;
    (void)size;
    if (!uart_write(&vcpu->vm->platform.uart, (unsigned)offset, (uint8_t)value, &sent))
        return;
    vcpu->vm->platform.virtio[VIRTIO_CONSOLE].spoken = 0;  /* input comes back this way */
    vm_console_output(vcpu->vm, (char)sent);
}
const struct bus_ops uart_ports = { read_uart, write_uart };

/* QEMU's isa-debug-exit: what tests for bare machines write to end themselves. */
static uint64_t read_exit(struct vcpu *vcpu, uint64_t offset, unsigned size)
{
    (void)vcpu, (void)offset, (void)size;
    return NOTHING_THERE;
}

static void write_exit(struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t value)
{
    (void)offset, (void)size;
    vcpu->vm->platform.end = PLATFORM_EXIT_CODE;
    vcpu->vm->platform.exit_code = (uint8_t)value;
}
const struct bus_ops exit_port = { read_exit, write_exit };
