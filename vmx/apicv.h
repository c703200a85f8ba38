/*
 * A vCPU's local APIC and the processor: what the model (devices/lapic.h) and the VMCS must agree on when the processor
 * virtualizes the APIC (SDM Vol. 3C, chapter 30 "APIC Virtualization and Virtual Interrupts"). The registers need no
 * agreement: both work on the same page. What is left is what the VMCS says of them: the mode, which EOIs exit, and
 * the vectors requested and in service (RVI and SVI).
 *
 * **Who delivers**: the processor reads and writes the registers, ends services (EOI), keeps priorities, and delivers
 * what the guest sends to itself, all without an exit. What comes from outside has made the guest exit anyway, and is
 * injected by vmx/inject.c; RVI is left alone. It could be handed over as RVI; but Bochs 3.1 delivers a pending virtual
 * interrupt whenever a physical one arrives, also to a guest with IF = 0, which no kernel survives for long. The window
 * in which that can happen is now only from a self-IPI with IF = 0 to the next STI.
 */
#ifndef TELEPOD_APICV_H
#define TELEPOD_APICV_H

#include <stdbool.h>
#include <stdint.h>
#include "kernel/lib/err.h"

struct vcpu;
struct vm;

/* `[pod] apicv`: before vmx_init. Preset: true, the processor does what it can. */
void apicv_allow(bool allowed);
bool apicv_is_allowed(void);

/*
 * The page whose accesses the processor takes for accesses to the APIC's registers, one a machine. ERR_NO_MEMORY. With
 * the machine's memory in place, before its vCPUs; the other way round at the end. Without APIC virtualization there
 * is none.
 */
enum err apicv_create(struct vm *vm);
void apicv_destroy(struct vm *vm);

/* vm->page_missing was set or cleared, with the machine held: its vCPUs go the other way from now on. */
void apicv_reconsider(struct vm *vm);

/* A new VMCS, which is current: the fields that never change. */
void vcpu_apicv_init(struct vcpu *vcpu);
/*
 * The registers in memory, where software has to be the APIC. A register is 32 bits wide: narrower reads get their
 * part of it, narrower writes are ignored, of wider ones the low half counts.
 */
bool vcpu_apic_covers(const struct vcpu *vcpu, uint64_t gpa);
uint64_t vcpu_apic_read(struct vcpu *vcpu, uint64_t gpa, unsigned size);
void vcpu_apic_write(struct vcpu *vcpu, uint64_t gpa, unsigned size, uint64_t value);
/* What lapic.changed says, to the VMCS, which is current, and to who sends to this APIC. Before each entry. */
void vcpu_apic_update(struct vcpu *vcpu);

#endif
