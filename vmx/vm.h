/*
 * A virtual machine as the rest of the pod sees it: created from a configuration, run by one thread a vCPU, paused
 * at an instant, saved, loaded, tracked.
 *
 * **Ownership**: a struct vm is owned by the table in vmx/vm.c. Functions that change its state block the calling
 * thread until the vCPUs agree; they may be called from any thread that is not a vCPU's.
 *
 * **Who may touch what**: a vCPU's registers, VMCS and APIC only its own CPU (vcpu->cpu). The devices and the console
 * whoever holds device_lock; and changes there, and in the guest's memory, by others than the vCPUs only while
 * vm_devices_live(). What all vCPUs must keep out of: vm_hold().
 */
#ifndef TELEPOD_VM_H
#define TELEPOD_VM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "kernel/cpu.h"
#include "kernel/lib/bitmap.h"
#include "kernel/lib/err.h"
#include "kernel/lib/pod_config.h"
#include "kernel/spinlock.h"
#include "mm/guest_memory.h"
#include "vmx/clock.h"
#include "vmx/devices/apic_route.h"
#include "vmx/platform.h"
#include "vmx/state.h"
#include "vmx/vm_virtio.h"

#define VMS_MAX 32
#define VCPUS_MAX GUEST_VCPUS_MAX
#define VM_REASON_MAX 160
#define VM_CONSOLE_RING 65536   /* bytes kept of the guest's serial output */
#define VM_CONSOLE_LINE 120     /* longest piece of a line that goes to the log at once */
#define VM_WATCHERS_MAX 8
#define VM_STRAYS_LOGGED 8

enum vm_state {
    VM_INCOMING,   /* being filled by a teleport; never runs before COMMIT */
    VM_PAUSED,     /* runnable, but held: by the operator, or by a teleport for the stop-and-copy */
    VM_RUNNING,    /* its vCPU threads may enter guest mode */
    VM_HALTED,     /* it shut itself down, ended (triple fault, misdeed), or was ended by vm_halt: see reason */
    VM_IN_DOUBT,   /* COMMIT was sent, no answer: must not run here until the peer or an operator decides */
    VM_MOVED,      /* runs on the peer; the image here is history, and about to be destroyed */
};
const char *vm_state_name(enum vm_state state);

struct vcpu;
struct thread;

/* Ports, addresses or MSRs that nothing answers: all counted, the first few different ones logged. */
struct vm_strays {
    uint64_t count;
    uint64_t logged[VM_STRAYS_LOGGED];
    uint32_t logged_count;
};

struct vm {
    char name[POD_NAME_MAX];
    struct guest_config config;
    _Atomic enum vm_state state;         /* changes under device_lock */
    char reason[VM_REASON_MAX];          /* why it halted, in words; empty otherwise */
    struct guest_memory memory;
    uint32_t vcpu_count;
    struct vcpu *vcpus[VCPUS_MAX];
    struct cpu *cpu;                     /* where its first vCPU runs */
    bool teleporting;                    /* a teleport owns it: the operator cannot stop, pause or resume it meanwhile */
    uint64_t guest_tsc_hz;               /* the TSC frequency that this guest was told */
    uint64_t pause_tsc;                  /* host TSC of the instant of the last pause (all vCPUs out of guest mode) */
    uint64_t last_ran_tsc;               /* host TSC since which it has stood still then: before pause_tsc if it had no CPU */
    _Atomic uint64_t first_entry_tsc;    /* host TSC of the first guest entry after the last vm_resume; 0: not yet */
    /* serial console: output ring, and input that waits for the guest */
    char console[VM_CONSOLE_RING];
    uint64_t console_position;           /* bytes ever written by the guest; the ring holds the last VM_CONSOLE_RING */
    uint64_t console_start;              /* ... but none before this one: they stayed where the machine came from */
    uint64_t id;                         /* epoch base: unique among the guests that this pod ever made */

    /* vmx/'s own */
    uint32_t slot;                       /* in the table */
    _Atomic uint32_t holds;              /* vm_hold less vm_release: while not 0, no vCPU enters guest mode */
    _Atomic bool end_untold;             /* it halted, and neither log nor watchers know yet (stop.c) */
    struct spinlock end_lock;            /* who writes the reason */
    struct spinlock device_lock;         /* platform, console, input, changes of state; any CPU, held briefly */
    struct hpa apic_access;              /* the APIC-access page; 0: none (vmx/apicv.h) */
    _Atomic bool pic_output;             /* INTR of the PIC; changes under device_lock */
    struct apic_route routes[VCPUS_MAX]; /* what each vCPU's APIC listens to; any CPU */
    _Atomic uint32_t lowest_turn;        /* of lowest-priority messages */
    /* Host TSC at which the devices' timers want to be looked at, by vCPU 0; UINT64_MAX: never. */
    _Atomic uint64_t platform_deadline;
    uint64_t pause_guest_tsc;            /* the guest's TSC at pause_tsc: it may never be behind it */
    struct vm_policy policy;             /* CPUID as this guest sees it */
    struct guest_clock clock;
    struct platform platform;
    struct vm_virtio virtio;
    char line[VM_CONSOLE_LINE];          /* console output that has not yet been logged */
    uint32_t line_length;
    struct spinlock strays_lock;
    struct vm_strays stray_ports, stray_addresses, stray_msrs;
    /* An EPT violation inside RAM: true, the page is accessible now. NULL while nothing takes pages away. */
    bool (*page_missing)(struct vm *vm, struct gpa gpa);
    struct spinlock watchers_lock;       /* any CPU */
    struct thread *watchers[VM_WATCHERS_MAX];
};

/* VMX on, on every CPU. ERR_UNSUPPORTED: one clear sentence was logged, and the pod goes on without guests. */
enum err vmx_init(void);
bool vmx_available(void);
const char *vmx_unavailable_reason(void);      /* in words; empty when available */

/* What a machine is made from; size 0: none. Read during vm_create only. */
struct vm_file { const void *bytes; uint64_t size; };
struct vm_files { struct vm_file image, initrd, disk; };

/* A VM_PAUSED machine at its reset state with the image loaded. The name must be free. Errors: a sentence in why, and logged. */
enum err vm_create(struct vm **out, const struct guest_config *config, const struct vm_files *files, char *why,
                   size_t why_size);
/*
 * VM_HALTED -> VM_PAUSED at its reset state, as vm_create makes it, with all of its memory zero but for the image; its disk
 * and its console stay. files->disk is not looked at. On an error it is VM_HALTED as before; the sentence is in why.
 */
enum err vm_restart(struct vm *vm, const struct vm_files *files, char *why, size_t why_size);
/* An empty VM_INCOMING machine for a teleport. Errors as vm_create. */
enum err vm_create_incoming(struct vm **out, const struct guest_config *config, char *why, size_t why_size);
/* Stops its threads, frees all that it has. Any state but a teleport in progress. */
enum err vm_destroy(struct vm *vm);

struct vm *vm_find(const char *name);
struct vm *vm_by_index(uint32_t index);        /* 0 .. VMS_MAX - 1; NULL for an empty slot */

enum err vm_resume(struct vm *vm);             /* VM_PAUSED -> VM_RUNNING */
/*
 * VM_RUNNING -> VM_PAUSED: returns when no vCPU is in guest mode or will enter; vm->pause_tsc is that instant, and
 * vm->last_ran_tsc the one at which the guest last ran, or slept because it wanted to.
 */
enum err vm_pause(struct vm *vm);
/*
 * VM_RUNNING or VM_PAUSED -> VM_HALTED, as if its power were switched off: no vCPU enters again, `why` is the reason, and disk,
 * configuration and console stay. ERR_STATE: it is in another state, or a teleport owns it; nothing has changed.
 */
enum err vm_halt(struct vm *vm, const char *why);

/*
 * Stop the world: after vm_hold no vCPU is in guest mode or handles an exit, and none enters before the vm_release that
 * belongs to it. They nest. The machine's state stays what it is: nobody outside notices but by the time. From any
 * thread that is not a vCPU's.
 */
void vm_hold(struct vm *vm);
void vm_release(struct vm *vm);
/* May others than its vCPUs change its memory and its devices now (network, console input)? device_lock is held. */
static inline bool vm_devices_live(const struct vm *vm) { return vm->state == VM_RUNNING; }
/* The machine's own time, that its devices go by: what the TSC of a vCPU that never changed it says. Any CPU. */
uint64_t vm_machine_time(const struct vm *vm);

/*
 * Dirty tracking over the running machine. Each brings the vCPUs out of guest mode, works, and lets them go on,
 * with the INVEPT that the manual demands before they enter again. On a paused machine they just work.
 */
enum err vm_track_start(struct vm *vm);
enum err vm_track_harvest(struct vm *vm, struct bitmap *out);   /* ORs into out */
enum err vm_track_stop(struct vm *vm);

/* Console: output since *position (advances it); input to the guest's UART, returns the bytes taken. */
size_t vm_console_read(struct vm *vm, uint64_t *position, char *buffer, size_t size);
size_t vm_console_write(struct vm *vm, const char *bytes, size_t size);
/*
 * A thread to wake when there is new output or a state change; NULL: none. One watcher a call site: small fixed
 * table.
 */
enum err vm_watch(struct vm *vm, struct thread *watcher);
void vm_unwatch(struct vm *vm, struct thread *watcher);

#endif
