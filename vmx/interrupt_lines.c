/*
 * The lines from devices to the interrupt controllers, and from those to the processors: how PIC and I/O APIC are wired
 * in this machine. A line goes to both; software chooses by masking one of them. vm->device_lock protects both
 * controllers and orders what they send.
 */
#include "kernel/lib/util.h"
#include "vmx/devices/ioapic.h"
#include "vmx/devices/pic.h"
#include "vmx/interrupts.h"
#include "vmx/mailbox.h"
#include "vmx/platform_ports.h"
#include "vmx/vcpu.h"
#include "vmx/vm.h"

/*
 * The timer's line, IRQ 0 of the PIC, is pin 2 of the I/O APIC: both numbers mean it. Pin 0 is the PIC's own output
 * (ExtINT), and input 2 of the PIC is the cascade.
 */
#define TIMER_IRQ 0
#define TIMER_PIN 2
#define PIC_OUTPUT_PIN 0

static void send(void *context, const struct apic_message *message)
{
    vm_send_message(context, message, NULL);
}

static struct ioapic_output output_of(struct vm *vm)
{
    return (struct ioapic_output){ send, vm };
}

static void set_pin(struct vm *vm, unsigned pin, bool level)
{
    struct ioapic_output output = output_of(vm);
    ioapic_set_line(&vm->platform.ioapic, pin, level, &output);
}

/* After everything that may change the PIC's output. */
static void follow_pic(struct vm *vm)
{
    bool level = pic_output(&vm->platform.pic);
    if (level == vm->pic_output)
        return;
    vm->pic_output = level;
    set_pin(vm, PIC_OUTPUT_PIN, level);
    if (level)
        vcpu_post_event(vm->vcpus[0], MAIL_LINT0);
}

void vm_set_gsi(struct vm *vm, unsigned gsi, bool level)
{
    bool timer = gsi == TIMER_IRQ || gsi == TIMER_PIN;
    if (gsi < PIC_IRQS) {
        pic_set_irq(&vm->platform.pic, timer ? TIMER_IRQ : gsi, level);
        follow_pic(vm);
    }
    set_pin(vm, timer ? TIMER_PIN : gsi, level);
}

void vm_eoi(struct vm *vm, uint8_t vector)
{
    struct ioapic_output output = output_of(vm);
    spinlock_acquire(&vm->device_lock);
    ioapic_eoi(&vm->platform.ioapic, vector, &output);
    spinlock_release(&vm->device_lock);
}

uint8_t vm_pic_acknowledge(struct vm *vm)
{
    spinlock_acquire(&vm->device_lock);
    uint8_t vector = pic_acknowledge(&vm->platform.pic);
    follow_pic(vm);
    spinlock_release(&vm->device_lock);
    return vector;
}

void vm_lines_loaded(struct vm *vm)
{
    vm->pic_output = pic_output(&vm->platform.pic);
}

/* ---- the controllers on the bus; device_lock is held ---- */

static uint64_t read_pic(struct vcpu *vcpu, uint16_t port)
{
    uint8_t value = pic_read(&vcpu->vm->platform.pic, port);
    follow_pic(vcpu->vm); /* a poll acknowledges */
    return value;
}

static void write_pic(struct vcpu *vcpu, uint16_t port, uint64_t value)
{
    pic_write(&vcpu->vm->platform.pic, port, (uint8_t)value);
    follow_pic(vcpu->vm);
}

#define PIC_PORTS(name, base) \
    static uint64_t read_##name(struct vcpu *vcpu, uint64_t offset, unsigned size) \
    { \
        (void)size; \
        return read_pic(vcpu, (uint16_t)((base) + offset)); \
    } \
    static void write_##name(struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t value) \
    { \
        (void)size; \
        write_pic(vcpu, (uint16_t)((base) + offset), value); \
    } \
    const struct bus_ops name##_ports = { read_##name, write_##name };
PIC_PORTS(pic_master, PIC_MASTER_COMMAND)
PIC_PORTS(pic_slave, PIC_SLAVE_COMMAND)
PIC_PORTS(pic_elcr, PIC_ELCR_MASTER)

/* Its registers are 32 bits wide; what is narrower gets that part, what is wider the low part. */
static uint64_t read_ioapic(struct vcpu *vcpu, uint64_t offset, unsigned size)
{
    (void)size;
    return ioapic_read(&vcpu->vm->platform.ioapic, (uint32_t)offset);
}

static void write_ioapic(struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t value)
{
    struct ioapic_output output = output_of(vcpu->vm);
    (void)size;
    ioapic_write(&vcpu->vm->platform.ioapic, (uint32_t)offset, (uint32_t)value, &output);
}
const struct bus_ops ioapic_registers = { read_ioapic, write_ioapic };
