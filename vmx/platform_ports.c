/* From the bus to the devices: each access gets its device's state and the machine's time; then lines and deadlines follow. */
#include "vmx/platform_ports.h"

#include "vmx/interrupts.h"
#include "vmx/platform.h"
#include "vmx/vcpu.h"
#include "vmx/vm.h"
#include "vmx/vm_internal.h"

#define NOTHING_THERE 0xff

/* ---- COM1 ---- */

static uint64_t read_uart(struct vcpu *vcpu, uint64_t offset, unsigned size)
{
    (void)size;
    uint8_t value = uart_read(&vcpu->vm->platform.uart, (unsigned)offset);
    platform_update_lines(vcpu->vm);
    return value;
}

static void write_uart(struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t value)
{
    uint8_t sent;
    (void)size;
    if (uart_write(&vcpu->vm->platform.uart, (unsigned)offset, (uint8_t)value, &sent)) {
        vcpu->vm->platform.virtio[VIRTIO_CONSOLE].spoken = 0;  /* input comes back this way */
        vm_console_output(vcpu->vm, (char)sent);
    }
    platform_update_lines(vcpu->vm);
}
const struct bus_ops uart_ports = { read_uart, write_uart };

/* ---- interval timer and its speaker port ---- */

static uint64_t read_pit(struct vcpu *vcpu, uint64_t offset, unsigned size)
{
    (void)size;
    return pit_read(&vcpu->vm->platform.pit, (unsigned)offset, platform_time(vcpu->vm));
}

static void write_pit(struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t value)
{
    (void)size;
    platform_advance(vcpu->vm, vm_machine_time(vcpu->vm)); /* an edge that is due comes before what the write changes */
    pit_write(&vcpu->vm->platform.pit, (unsigned)offset, (uint8_t)value, platform_time(vcpu->vm));
    vm_devices_changed(vcpu->vm);
}
const struct bus_ops pit_ports = { read_pit, write_pit };

static uint64_t read_control(struct vcpu *vcpu, uint64_t offset, unsigned size)
{
    (void)offset, (void)size;
    return pit_read_control(&vcpu->vm->platform.pit, platform_time(vcpu->vm));
}

static void write_control(struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t value)
{
    (void)offset, (void)size;
    pit_write_control(&vcpu->vm->platform.pit, (uint8_t)value, platform_time(vcpu->vm));
}
const struct bus_ops control_port = { read_control, write_control };

/* ---- real-time clock ---- */

static uint64_t read_rtc(struct vcpu *vcpu, uint64_t offset, unsigned size)
{
    (void)size;
    uint8_t value = rtc_read(&vcpu->vm->platform.rtc, (unsigned)offset, platform_time(vcpu->vm));
    platform_update_lines(vcpu->vm);
    vm_devices_changed(vcpu->vm); /* reading register C arms the next interrupt */
    return value;
}

static void write_rtc(struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t value)
{
    (void)size;
    rtc_write(&vcpu->vm->platform.rtc, (unsigned)offset, (uint8_t)value, platform_time(vcpu->vm));
    platform_update_lines(vcpu->vm);
    vm_devices_changed(vcpu->vm);
}
const struct bus_ops rtc_ports = { read_rtc, write_rtc };

/* ---- ACPI ---- */

static uint64_t read_acpi_pm(struct vcpu *vcpu, uint64_t offset, unsigned size)
{
    return acpi_pm_read(&vcpu->vm->platform.pm, (unsigned)offset, size, platform_time(vcpu->vm));
}

static void write_acpi_pm(struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t value)
{
    struct vm *vm = vcpu->vm;
    if (acpi_pm_write(&vm->platform.pm, (unsigned)offset, size, (uint32_t)value, platform_time(vm)))
        vm->platform.end = PLATFORM_POWER_OFF;
    platform_update_lines(vm);
    vm_devices_changed(vm);
}
const struct bus_ops acpi_pm_ports = { read_acpi_pm, write_acpi_pm };

/* ---- QEMU's devices for tests on bare machines: firmware configuration, isa-debug-exit, and the lines of pc-testdev ---- */

#define FW_CFG_DATA 1 /* offset; the selector is the 16-bit port before it, and write-only */

static uint64_t read_fw_cfg(struct vcpu *vcpu, uint64_t offset, unsigned size)
{
    if (offset != FW_CFG_DATA)
        return size == 2 ? UINT16_MAX : NOTHING_THERE;
    return fw_cfg_read(&vcpu->vm->platform.fw_cfg, vcpu->vm->config.vcpus);
}

static void write_fw_cfg(struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t value)
{
    if (offset == 0 && size == 2)
        fw_cfg_select(&vcpu->vm->platform.fw_cfg, (uint16_t)value);
}
const struct bus_ops fw_cfg_ports = { read_fw_cfg, write_fw_cfg };

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

static uint64_t read_test_line(struct vcpu *vcpu, uint64_t offset, unsigned size)
{
    (void)vcpu, (void)offset, (void)size;
    return NOTHING_THERE;
}

/* A guest moves a line of its own interrupt controllers. Those of a device of the machine follow that device again. */
static void write_test_line(struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t value)
{
    (void)size;
    vm_set_gsi(vcpu->vm, (unsigned)offset, value != 0);
}
const struct bus_ops test_line_ports = { read_test_line, write_test_line };
