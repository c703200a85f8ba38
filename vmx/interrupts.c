/* See interrupts.h. */
#include "vmx/interrupts.h"

#include "kernel/arch/msr.h"
#include "kernel/lib/util.h"
#include "kernel/thread.h"
#include "vmx/vcpu.h"
#include "vmx/vm.h"

void vcpu_notify(struct vcpu *vcpu)
{
    if (vcpu->busy)
        cpu_kick(vcpu->cpu); /* itself: no kick; it looks before it enters */
    else if (vcpu->thread)
        thread_wake(vcpu->thread);
}

void vcpu_post_vector(struct vcpu *vcpu, uint8_t vector, bool level)
{
    mailbox_post_vector(&vcpu->mailbox, vector, level);
    vcpu_notify(vcpu);
}

void vcpu_post_event(struct vcpu *vcpu, uint32_t event)
{
    mailbox_post_event(&vcpu->mailbox, event);
    vcpu_notify(vcpu);
}

static void take_vectors(struct vcpu *vcpu)
{
    for (unsigned word = 0; word < MAILBOX_WORDS; word++) {
        uint32_t bits = atomic_exchange(&vcpu->mailbox.irr[word], 0), level = vcpu->mailbox.level[word];
        for (; bits; bits &= bits - 1) {
            unsigned bit = (unsigned)__builtin_ctz(bits);
            lapic_set_irr(&vcpu->lapic, (uint8_t)(word * 32 + bit), level >> bit & 1);
        }
    }
    vcpu_lapic_changed(vcpu);
}

/* INIT first: what else came with it is of the life before, but for a start-up IPI (mailbox_post_event). */
void vcpu_take_mail(struct vcpu *vcpu)
{
    uint32_t events = atomic_exchange(&vcpu->mailbox.events, 0);
    if (events & MAIL_VECTORS)
        take_vectors(vcpu);
    if (events & MAIL_NMI)
        vcpu_add_nmis(vcpu, atomic_exchange(&vcpu->mailbox.nmis, 0));
    if (events & MAIL_EXTINT)
        vcpu->extint_message = true;
    if (events & MAIL_INIT)
        vcpu_init(vcpu);
    if (events & MAIL_SIPI)
        vcpu_start_up(vcpu, (uint8_t)atomic_load(&vcpu->mailbox.sipi_vector));
    vcpu->inject_work = true;
}

void vcpu_publish_route(struct vcpu *vcpu)
{
    struct apic_route *route = &vcpu->vm->routes[vcpu->index];
    const struct lapic *lapic = &vcpu->lapic;
    atomic_store_explicit(&route->mode, lapic_mode(lapic), memory_order_relaxed);
    atomic_store_explicit(&route->id, lapic->id, memory_order_relaxed);
    atomic_store_explicit(&route->ldr, lapic_ldr(lapic), memory_order_relaxed);
    atomic_store_explicit(&route->dfr, lapic_dfr(lapic), memory_order_relaxed);
    atomic_store_explicit(&route->software_enabled, lapic_software_enabled(lapic), memory_order_relaxed);
    vcpu->lapic.changed &= ~LAPIC_CHANGED_ROUTE;
}

/* SDM Vol. 3A, Table 11-1 (ICR, "Delivery Mode"). SMI: there is no SMM; the reserved modes do nothing. */
static void deliver(struct vcpu *vcpu, const struct apic_message *message)
{
    switch (message->delivery_mode) {
    case DELIVERY_FIXED:
    case DELIVERY_LOWEST_PRIORITY:
        vcpu_post_vector(vcpu, message->vector, message->level);
        break;
    case DELIVERY_NMI:
        vcpu_post_event(vcpu, MAIL_NMI);
        break;
    case DELIVERY_INIT:
        vcpu_post_event(vcpu, MAIL_INIT);
        break;
    case DELIVERY_EXTINT:
        vcpu_post_event(vcpu, MAIL_EXTINT);
        break;
    case DELIVERY_START_UP:
        atomic_store(&vcpu->mailbox.sipi_vector, message->vector);
        vcpu_post_event(vcpu, MAIL_SIPI);
        break;
    }
}

void vm_send_message(struct vm *vm, const struct apic_message *message, struct vcpu *sender)
{
    uint32_t targets = apic_route_targets(vm->routes, vm->vcpu_count, message, sender ? (int)sender->index : APIC_ROUTE_NOBODY);
    if (message->delivery_mode == DELIVERY_INIT && message->level && !message->assert)
        return; /* "INIT Level De-assert": nothing that today's processors do */
    if (message->delivery_mode == DELIVERY_LOWEST_PRIORITY)
        targets = apic_route_lowest(vm->routes, targets, atomic_fetch_add(&vm->lowest_turn, 1));
    for (; targets; targets &= targets - 1) {
        struct vcpu *target = vm->vcpus[__builtin_ctz(targets)];
        deliver(target, message);
        if (sender && target != sender && target->cpu == sender->cpu)
            sender->give_way = true; /* it may well wait for the answer: who shall answer gets the CPU now */
    }
}

/* SDM Vol. 3A, 11.11.1 "Message Address Register Format", 11.11.2 "Message Data Register Format" */
#define MSI_ADDRESS_MASK 0xfffffffffff00000ULL
#define MSI_ADDRESS 0xfee00000ULL
#define MSI_DESTINATION_SHIFT 12
#define MSI_DESTINATION_MASK 0xffu
#define MSI_LOGICAL BIT(2)
#define MSI_DELIVERY_MODE_SHIFT 8
#define MSI_DELIVERY_MODE_MASK 7u
#define MSI_ASSERT BIT(14)
#define MSI_LEVEL BIT(15)

void vm_send_msi(struct vm *vm, uint64_t address, uint32_t data)
{
    if ((address & MSI_ADDRESS_MASK) != MSI_ADDRESS)
        return;
    uint32_t destination = (uint32_t)(address >> MSI_DESTINATION_SHIFT) & MSI_DESTINATION_MASK;
    vm_send_message(vm, &(struct apic_message){
        .destination = destination == MSI_DESTINATION_MASK ? APIC_DESTINATION_BROADCAST : destination,
        .logical = (address & MSI_LOGICAL) != 0,
        .delivery_mode = (uint8_t)(data >> MSI_DELIVERY_MODE_SHIFT & MSI_DELIVERY_MODE_MASK),
        .vector = (uint8_t)data,
        .level = (data & MSI_LEVEL) != 0,
        .assert = (data & MSI_ASSERT) != 0,
    }, NULL);
}

static void send_ipi(void *context, const struct apic_message *message)
{
    struct vcpu *vcpu = context;
    vm_send_message(vcpu->vm, message, vcpu);
}

static void send_eoi(void *context, uint8_t vector)
{
    vm_eoi(((struct vcpu *)context)->vm, vector);
}

const struct lapic_output vcpu_apic_output = { send_ipi, send_eoi };
