/*
 * Events into the guest. Guarantee: no event is lost and none is delivered twice, also when its delivery is cut
 * short by a VM exit. An event is in exactly one place: the APIC's IRR, the PIC, nmi_pending, vcpu->event, pic_event, or
 * the VM-entry interruption information of the next entry, from where the processor either delivers it or hands it back
 * as IDT-vectoring information.
 *
 * With APIC virtualization the processor delivers by itself what the guest sends to itself (vmx/apicv.h), from the same
 * IRR; all the rest is injected here in both cases.
 */
#include "kernel/arch/msr.h"
#include "kernel/arch/trap.h"
#include "kernel/lib/util.h"
#include "kernel/thread.h"
#include "vmx/apicv.h"
#include "vmx/interrupts.h"
#include "vmx/vcpu.h"
#include "vmx/vm.h"

static uint32_t event_info(enum interruption_type type, uint8_t vector)
{
    return INTERRUPTION_VALID | (uint32_t)type << INTERRUPTION_TYPE_SHIFT | vector;
}

static enum interruption_type event_type(uint32_t info)
{
    return (enum interruption_type)(info >> INTERRUPTION_TYPE_SHIFT & INTERRUPTION_TYPE_MASK);
}

/* INT n, INT3, INTO and INT1 push the address of the next instruction: they need their own length (SDM 27.6.1.1). */
static bool has_instruction_length(enum interruption_type type)
{
    return type == INTERRUPTION_SOFTWARE_INTERRUPT || type == INTERRUPTION_PRIVILEGED_SOFTWARE_EXCEPTION ||
           type == INTERRUPTION_SOFTWARE_EXCEPTION;
}

/* SDM 27.6 "Event Injection". The processor clears the field's valid bit at every exit. */
static void write_event(const struct vcpu_event *event)
{
    if (event->info & INTERRUPTION_ERROR_CODE_VALID)
        vmcs_write(VM_ENTRY_EXCEPTION_ERROR_CODE, event->error_code);
    if (has_instruction_length(event_type(event->info)))
        vmcs_write(VM_ENTRY_INSTRUCTION_LENGTH, event->instruction_length);
    vmcs_write(VM_ENTRY_INTERRUPTION_INFORMATION, event->info);
}

/* SDM 27.2.1.3 and 27.3.1.5: what must hold for an external interrupt, or an NMI, to be injected. */
static bool interrupt_window_open(void)
{
    const uint64_t blocking = INTERRUPTIBILITY_BLOCKING_BY_STI | INTERRUPTIBILITY_BLOCKING_BY_MOV_SS;
    return (vmcs_read(GUEST_RFLAGS) & RFLAGS_IF) && !(vmcs_read(GUEST_INTERRUPTIBILITY_STATE) & blocking);
}

static bool nmi_window_open(void)
{
    const uint64_t blocking =
        INTERRUPTIBILITY_BLOCKING_BY_STI | INTERRUPTIBILITY_BLOCKING_BY_MOV_SS | INTERRUPTIBILITY_BLOCKING_BY_NMI;
    return !(vmcs_read(GUEST_INTERRUPTIBILITY_STATE) & blocking);
}

/* The processor exits as soon as the guest can take what still waits. */
static void request_windows(struct vcpu *vcpu, bool interrupt, bool nmi)
{
    uint32_t controls = vcpu->primary_controls & ~(PRIMARY_INTERRUPT_WINDOW_EXITING | PRIMARY_NMI_WINDOW_EXITING);
    if (interrupt)
        controls |= PRIMARY_INTERRUPT_WINDOW_EXITING;
    if (nmi)
        controls |= PRIMARY_NMI_WINDOW_EXITING;
    if (controls == vcpu->primary_controls)
        return;
    vmcs_write(PRIMARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS, controls);
    vcpu->primary_controls = controls;
}

/*
 * An interrupt of the PIC's for this vCPU: one that was acknowledged and put back, one that comes by an ExtINT message,
 * or by the wire to LINT0 of the first processor.
 */
static bool pic_interrupt_waits(const struct vcpu *vcpu)
{
    if (vcpu->pic_event)
        return true;
    if (!vcpu->vm->pic_output)
        return false;
    return vcpu->extint_message || (vcpu->index == 0 && lapic_takes_extint(&vcpu->lapic));
}

static uint32_t take_pic_interrupt(struct vcpu *vcpu)
{
    uint32_t info = vcpu->pic_event;
    if (!info)
        info = event_info(INTERRUPTION_EXTERNAL_INTERRUPT, vm_pic_acknowledge(vcpu->vm));
    vcpu->pic_event = 0;
    vcpu->extint_message = false;
    return info;
}

static bool interrupt_waits(const struct vcpu *vcpu)
{
    return pic_interrupt_waits(vcpu) || lapic_pending_vector(&vcpu->lapic) >= 0;
}

/* The PIC's first: LINT0 is the processor's INTR pin, and knows no priorities. */
static uint32_t take_interrupt(struct vcpu *vcpu)
{
    if (pic_interrupt_waits(vcpu))
        return take_pic_interrupt(vcpu);
    uint8_t vector = (uint8_t)lapic_pending_vector(&vcpu->lapic);
    lapic_accept(&vcpu->lapic, vector);
    return event_info(INTERRUPTION_EXTERNAL_INTERRUPT, vector);
}

/* One event an entry, in the order of SDM Vol. 3A, 6.9: what was in delivery, NMI, interrupt. */
void vcpu_inject(struct vcpu *vcpu)
{
    bool injected = false;
    if (vcpu->event.info) {
        write_event(&vcpu->event);
        vcpu->event.info = 0;
        injected = true;
    }
    if (vcpu->nmi_pending && !injected && nmi_window_open()) {
        write_event(&(struct vcpu_event){ .info = event_info(INTERRUPTION_NMI, VECTOR_NMI) });
        vcpu->nmi_pending--;
        injected = true;
    }
    bool waits = interrupt_waits(vcpu);
    if (waits && !injected && interrupt_window_open()) {
        write_event(&(struct vcpu_event){ .info = take_interrupt(vcpu) });
        waits = interrupt_waits(vcpu);
    }
    request_windows(vcpu, waits, vcpu->nmi_pending);
    if (vcpu->lapic.changed)
        vcpu_apic_update(vcpu);
    vcpu->inject_work = waits || vcpu->nmi_pending;
}

/*
 * SDM 28.2.4 "Information for VM Exits During Event Delivery": the event was not delivered; it is the first thing
 * that the next entry injects.
 */
void vcpu_recover_event(struct vcpu *vcpu, uint32_t vectoring)
{
    enum interruption_type type = event_type(vectoring);
    vcpu->event.info = vectoring & (INTERRUPTION_VALID | INTERRUPTION_ERROR_CODE_VALID | INTERRUPTION_VECTOR_MASK |
                                    INTERRUPTION_TYPE_MASK << INTERRUPTION_TYPE_SHIFT);
    if (vectoring & INTERRUPTION_ERROR_CODE_VALID)
        vcpu->event.error_code = (uint32_t)vmcs_read(IDT_VECTORING_ERROR_CODE);
    if (has_instruction_length(type))
        vcpu->event.instruction_length = (uint32_t)vmcs_read(VM_EXIT_INSTRUCTION_LENGTH);
    /* Delivery of the NMI had begun to block further ones; to inject it again, blocking must be off (27.3.1.5). */
    if (type == INTERRUPTION_NMI)
        vmcs_write(GUEST_INTERRUPTIBILITY_STATE,
                   vmcs_read(GUEST_INTERRUPTIBILITY_STATE) & ~(uint64_t)INTERRUPTIBILITY_BLOCKING_BY_NMI);
    vcpu->inject_work = true;
    vcpu->events_recovered++;
}

bool vcpu_has_deliverable_event(struct vcpu *vcpu)
{
    return vcpu->event.info || vcpu->nmi_pending ||
           (!vcpu->dead && (pic_interrupt_waits(vcpu) || lapic_pending_vector(&vcpu->lapic) >= 0));
}

void vcpu_add_nmis(struct vcpu *vcpu, uint32_t count)
{
    vcpu_make_current(vcpu);
    bool one_is_handled = (vcpu->event.info && event_type(vcpu->event.info) == INTERRUPTION_NMI) ||
                          (vmcs_read(GUEST_INTERRUPTIBILITY_STATE) & INTERRUPTIBILITY_BLOCKING_BY_NMI);
    vcpu->nmi_pending = nmis_that_wait(vcpu->nmi_pending, count, one_is_handled);
    vcpu->inject_work = true;
}

/* SDM Vol. 3A, Table 6-4 "Interrupt and Exception Classes". */
enum exception_class { BENIGN, CONTRIBUTORY, PAGE_FAULT, DOUBLE_FAULT };

static enum exception_class exception_class(uint32_t info)
{
    const uint64_t contributory =
        BIT(VECTOR_DE) | BIT(VECTOR_TS) | BIT(VECTOR_NP) | BIT(VECTOR_SS) | BIT(VECTOR_GP) | BIT(VECTOR_CP);
    uint32_t vector = info & INTERRUPTION_VECTOR_MASK;
    if (event_type(info) != INTERRUPTION_HARDWARE_EXCEPTION)
        return BENIGN;
    if (vector == VECTOR_DF)
        return DOUBLE_FAULT;
    if (vector == VECTOR_PF)
        return PAGE_FAULT;
    return vector < 32 && (contributory >> vector & 1) ? CONTRIBUTORY : BENIGN;
}

/*
 * An exception displaces an event that was in delivery. An interrupt or NMI goes back to where it waits; a fault or
 * software interrupt comes again by itself when its instruction is executed again.
 */
static void put_back_event(struct vcpu *vcpu)
{
    uint8_t vector = (uint8_t)(vcpu->event.info & INTERRUPTION_VECTOR_MASK);
    if (event_type(vcpu->event.info) == INTERRUPTION_NMI) {
        vcpu->nmi_pending = nmis_that_wait(vcpu->nmi_pending, 1, false);
    } else if (event_type(vcpu->event.info) == INTERRUPTION_EXTERNAL_INTERRUPT) {
        if (!lapic_put_back(&vcpu->lapic, vector))
            vcpu->pic_event = vcpu->event.info;
    }
    vcpu->event.info = 0;
}

static void queue_exception(struct vcpu *vcpu, struct vcpu_event event)
{
    vcpu->inject_work = true;
    if (vcpu->event.info) {
        enum exception_class first = exception_class(vcpu->event.info), second = exception_class(event.info);
        /* SDM Vol. 3A, Table 6-5 "Conditions for Generating a Double Fault" */
        if (first == DOUBLE_FAULT && (second == CONTRIBUTORY || second == PAGE_FAULT)) {
            vcpu_stop_guest(vcpu, "triple fault: exception %u during a double fault, RIP 0x%llx",
                            event.info & INTERRUPTION_VECTOR_MASK, (unsigned long long)vmcs_read(GUEST_RIP));
            return;
        }
        if ((first == CONTRIBUTORY && second == CONTRIBUTORY) ||
            (first == PAGE_FAULT && (second == CONTRIBUTORY || second == PAGE_FAULT)))
            event = (struct vcpu_event){ .info = event_info(INTERRUPTION_HARDWARE_EXCEPTION, VECTOR_DF) |
                                                 INTERRUPTION_ERROR_CODE_VALID };
        put_back_event(vcpu);
    }
    /* SDM 27.2.1.3: no error code is pushed in real mode, so none may be injected. */
    if (!(vmcs_read(GUEST_CR0) & CR0_PE))
        event.info &= ~INTERRUPTION_ERROR_CODE_VALID;
    vcpu->event = event;
}

/* A fault pushes RFLAGS with RF set (SDM Vol. 3B, 18.3.1.1); injection pushes what the VMCS has (27.6.1.1). */
static void set_resume_flag(void)
{
    vmcs_write(GUEST_RFLAGS, vmcs_read(GUEST_RFLAGS) | RFLAGS_RF);
}

void vcpu_inject_exception(struct vcpu *vcpu, uint8_t vector)
{
    set_resume_flag();
    queue_exception(vcpu, (struct vcpu_event){ .info = event_info(INTERRUPTION_HARDWARE_EXCEPTION, vector) });
}

void vcpu_inject_exception_error(struct vcpu *vcpu, uint8_t vector, uint32_t error_code)
{
    set_resume_flag();
    queue_exception(vcpu, (struct vcpu_event){ .info = event_info(INTERRUPTION_HARDWARE_EXCEPTION, vector) |
                                                       INTERRUPTION_ERROR_CODE_VALID,
                                               .error_code = error_code });
}

void vcpu_reflect_exception(struct vcpu *vcpu, uint32_t info)
{
    struct vcpu_event event = { .info = info & ~(INTERRUPTION_NMI_UNBLOCKING_DUE_TO_IRET) };
    if (info & INTERRUPTION_ERROR_CODE_VALID)
        event.error_code = (uint32_t)vmcs_read(VM_EXIT_INTERRUPTION_ERROR_CODE);
    if (has_instruction_length(event_type(info)))
        event.instruction_length = (uint32_t)vmcs_read(VM_EXIT_INSTRUCTION_LENGTH);
    queue_exception(vcpu, event);
}
