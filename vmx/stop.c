/*
 * The end of a guest, in words, and what a person needs to understand it: the VMCS in the log. It ends by itself, or from
 * outside by vm_halt (vm.h).
 */
#include <stdarg.h>
#include <stdio.h>
#include "kernel/lib/util.h"
#include "kernel/log.h"
#include "vmx/exits/exits.h"
#include "vmx/interrupts.h"
#include "vmx/vcpu.h"
#include "vmx/vm.h"
#include "vmx/vm_internal.h"

#define DUMP(field) { field, #field }
static const struct { enum vmcs_field field; const char *name; } dump_fields[] = {
    DUMP(EXIT_REASON), DUMP(EXIT_QUALIFICATION), DUMP(GUEST_PHYSICAL_ADDRESS), DUMP(GUEST_LINEAR_ADDRESS),
    DUMP(VM_INSTRUCTION_ERROR), DUMP(VM_EXIT_INTERRUPTION_INFORMATION), DUMP(IDT_VECTORING_INFORMATION),
    DUMP(VM_ENTRY_INTERRUPTION_INFORMATION), DUMP(VM_ENTRY_CONTROLS), DUMP(GUEST_RIP), DUMP(GUEST_RSP),
    DUMP(GUEST_RFLAGS),
    DUMP(GUEST_CR0), DUMP(GUEST_CR3), DUMP(GUEST_CR4), DUMP(GUEST_IA32_EFER), DUMP(GUEST_IA32_PAT), DUMP(GUEST_DR7),
    DUMP(GUEST_CS_SELECTOR), DUMP(GUEST_CS_BASE), DUMP(GUEST_CS_LIMIT), DUMP(GUEST_CS_ACCESS_RIGHTS),
    DUMP(GUEST_SS_SELECTOR), DUMP(GUEST_SS_BASE), DUMP(GUEST_SS_LIMIT), DUMP(GUEST_SS_ACCESS_RIGHTS),
    DUMP(GUEST_DS_SELECTOR), DUMP(GUEST_DS_BASE), DUMP(GUEST_DS_LIMIT), DUMP(GUEST_DS_ACCESS_RIGHTS),
    DUMP(GUEST_TR_SELECTOR), DUMP(GUEST_TR_BASE), DUMP(GUEST_TR_LIMIT), DUMP(GUEST_TR_ACCESS_RIGHTS),
    DUMP(GUEST_LDTR_ACCESS_RIGHTS), DUMP(GUEST_GDTR_BASE), DUMP(GUEST_GDTR_LIMIT), DUMP(GUEST_IDTR_BASE),
    DUMP(GUEST_IDTR_LIMIT), DUMP(GUEST_INTERRUPTIBILITY_STATE), DUMP(GUEST_ACTIVITY_STATE),
    DUMP(GUEST_PENDING_DEBUG_EXCEPTIONS), DUMP(VMCS_LINK_POINTER),
};
#define DUMP_FIELDS_A_LINE 3
#define DUMP_REGISTERS_A_LINE 4

static void dump_vmcs(void)
{
    char line[256];
    size_t used = 0;
    for (unsigned i = 0; i < ARRAY_SIZE(dump_fields); i++) {
        used += (size_t)snprintf(line + used, sizeof line - used, "%s%s 0x%llx", used ? ", " : "", dump_fields[i].name,
                                 (unsigned long long)vmcs_read(dump_fields[i].field));
        if (i % DUMP_FIELDS_A_LINE == DUMP_FIELDS_A_LINE - 1 || i == ARRAY_SIZE(dump_fields) - 1) {
            log_error("vmx", "  %s", line);
            used = 0;
        }
    }
}

static void dump_registers(const struct vcpu *vcpu)
{
    static const char *const names[GPR_COUNT] = { "RAX", "RCX", "RDX", "RBX", "RSP", "RBP", "RSI", "RDI",
                                                  "R8", "R9", "R10", "R11", "R12", "R13", "R14", "R15" };
    char line[256];
    size_t used = 0;
    for (unsigned i = 0; i < GPR_COUNT; i++) {
        if (i != GPR_RSP) /* in the VMCS */
            used += (size_t)snprintf(line + used, sizeof line - used, "%s%s 0x%llx", used ? ", " : "", names[i],
                                     (unsigned long long)vcpu->gpr[i]);
        if (i % DUMP_REGISTERS_A_LINE == DUMP_REGISTERS_A_LINE - 1) {
            log_error("vmx", "  %s", line);
            used = 0;
        }
    }
}

/*
 * Several vCPUs may come here at once, and with device_lock held (a write to a port can end a guest): so the reason has
 * a lock of its own, and who needs device_lock to tell the end does that later, in the vCPU's thread.
 */
static void stop(struct vcpu *vcpu, const char *format, va_list args)
{
    struct vm *vm = vcpu->vm;
    spinlock_acquire(&vm->end_lock);
    if (vm->state != VM_HALTED) { /* the first reason is the reason */
        vsnprintf(vm->reason, sizeof vm->reason, format, args);
        vm->state = VM_HALTED;
        vm->end_untold = true;
    }
    spinlock_release(&vm->end_lock);
    for (uint32_t i = 0; i < vm->vcpu_count; i++)
        if (vm->vcpus[i] != vcpu || !vcpu->busy) /* while its state is captured, its own thread sleeps */
            vcpu_notify(vm->vcpus[i]);
}

void vm_tell_end(struct vm *vm)
{
    if (!atomic_exchange(&vm->end_untold, false))
        return;
    spinlock_acquire(&vm->device_lock);
    vm_virtio_paused(vm);
    vm_console_flush(vm);
    spinlock_release(&vm->device_lock);
    log_info("vmx", "guest %s ended: %s", vm->name, vm->reason);
    vm_notify_watchers(vm);
}

/* Held, it cannot end by itself meanwhile; and only after the hold is it certain that no teleport has begun. */
enum err vm_halt(struct vm *vm, const char *why)
{
    vm_hold(vm);
    spinlock_acquire(&vm->device_lock);
    spinlock_acquire(&vm->end_lock);
    bool ends = !vm->teleporting && (vm->state == VM_RUNNING || vm->state == VM_PAUSED);
    if (ends) {
        snprintf(vm->reason, sizeof vm->reason, "%s", why);
        vm->state = VM_HALTED;
        vm->end_untold = true;
    }
    spinlock_release(&vm->end_lock);
    spinlock_release(&vm->device_lock);
    vm_tell_end(vm);
    vm_release(vm);
    return ends ? OK : ERR_STATE;
}

void vcpu_stop_guest(struct vcpu *vcpu, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    stop(vcpu, format, args);
    va_end(args);
}

void vcpu_stop_guest_dump(struct vcpu *vcpu, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    stop(vcpu, format, args);
    va_end(args);
    dump_vmcs();
    dump_registers(vcpu);
}
