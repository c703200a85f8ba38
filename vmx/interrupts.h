/*
 * How interrupts and events travel between vCPUs, and from devices to vCPUs. Any CPU may post to any vCPU: the bits go
 * into its mailbox (vmx/mailbox.h), and the vCPU is brought out of guest mode or out of its sleep to look.
 *
 * **No post is lost**: whoever posts sets bits first and looks second whether the vCPU is in guest mode; a vCPU says first that
 * it goes there and looks second at its mailbox. Both with sequentially consistent atomics.
 */
#ifndef TELEPOD_VMX_INTERRUPTS_H
#define TELEPOD_VMX_INTERRUPTS_H

#include <stdbool.h>
#include <stdint.h>
#include "vmx/devices/apic_message.h"
#include "vmx/devices/lapic.h"

struct vcpu;
struct vm;

/* To all that it is for. `sender`: the vCPU whose APIC sends; NULL: a device. Any CPU. */
void vm_send_message(struct vm *vm, const struct apic_message *message, struct vcpu *sender);
/* SDM Vol. 3A, 11.11 "Message Signalled Interrupts"; what is no MSI address is ignored. Any CPU. */
void vm_send_msi(struct vm *vm, uint64_t address, uint32_t data);
/* A device's line to the interrupt controllers changes: PIC (GSIs 0 to 15) and I/O APIC. vm->device_lock is held. */
void vm_set_gsi(struct vm *vm, unsigned gsi, bool level);
/* A level-triggered interrupt was serviced; takes vm->device_lock. */
void vm_eoi(struct vm *vm, uint8_t vector);

/* Bits into the mailbox, then kick or wake. Any CPU. */
void vcpu_post_vector(struct vcpu *vcpu, uint8_t vector, bool level);
void vcpu_post_event(struct vcpu *vcpu, uint32_t event);        /* MAIL_* */
/* Brings the vCPU to look at its mailbox, and at what else the run loop looks at. Any CPU. */
void vcpu_notify(struct vcpu *vcpu);

/* vmx/interrupt_lines.c: the state of the controllers was loaded, not made by their own functions. */
void vm_lines_loaded(struct vm *vm);
/* The PIC's INTA: the vector. Takes vm->device_lock. */
uint8_t vm_pic_acknowledge(struct vm *vm);

/* Where a vCPU's APIC sends its IPIs and EOIs; the context is the vCPU. */
extern const struct lapic_output vcpu_apic_output;

/* On the vCPU's own CPU, VMCS current: the mailbox's content into APIC, nmi_pending, INIT and start-up. */
void vcpu_take_mail(struct vcpu *vcpu);
/* What others must know of its APIC; after each write that changes it. Own CPU, or while the machine does not run. */
void vcpu_publish_route(struct vcpu *vcpu);

#endif
