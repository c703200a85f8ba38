/* The order in which a pod comes to life. Reading kernel_main() and main_thread() from top to bottom is reading the boot. */
#include <string.h>
#include "boot/boot_info.h"
#include "kernel/acpi.h"
#include "kernel/console.h"
#include "kernel/cpu.h"
#include "kernel/interrupt.h"
#include "kernel/lib/addr.h"
#include "kernel/log.h"
#include "kernel/pci.h"
#include "kernel/selftest.h"
#include "kernel/smp.h"
#include "kernel/thread.h"
#include "kernel/time.h"
#include "kernel/timer.h"
#include "kernel/wall_clock.h"
#include "mm/benchmark.h"
#include "mm/page.h"
#include "mm/paging.h"
#include "net/control/control.h"
#include "net/net.h"
#include "net/switch.h"
#include "net/teleport/teleport.h"
#include "vmx/apicv.h"
#include "vmx/net_backend.h"
#include "vmx/selftest.h"
#include "vmx/vm.h"

void kernel_main(const struct boot_info *from_loader) __attribute__((noreturn));

static struct boot_info boot;      /* our copy: the loader's memory may be given away */

static void copy_boot_info(const struct boot_info *from)
{
    if (from->magic != BOOT_INFO_MAGIC || from->version != BOOT_INFO_VERSION || from->size != sizeof(boot))
        panic("the loader is of another build: boot_info version %u, %u bytes; expected %u, %zu", from->version, from->size,
              BOOT_INFO_VERSION, sizeof(boot));
    memcpy(&boot, from, sizeof(boot));
}

/* What `selftest NAME` runs. Those named crash stop the pod, as a bug of ours would: the panic is tested with them. */
static bool test_kernel(uint64_t *value) { (void)value; return selftest_run(); }
static bool measure_harvest(uint64_t *value) { return mm_benchmark_harvest(value) == OK; }
static bool crash_panic(uint64_t *value) { (void)value; selftest_crash("panic"); return false; }
static bool crash_stack(uint64_t *value) { (void)value; selftest_crash("stack"); return false; }
static bool crash_null(uint64_t *value) { (void)value; selftest_crash("null"); return false; }
static bool crash_text(uint64_t *value) { (void)value; selftest_crash("text"); return false; }

static void register_selftests(void)
{
    control_register_selftest("kernel", test_kernel);
    control_register_selftest("harvest", measure_harvest);
    control_register_selftest("delivery", vmx_selftest_delivery);
    control_register_selftest("crash-panic", crash_panic);
    control_register_selftest("crash-stack", crash_stack);
    control_register_selftest("crash-null", crash_null);
    control_register_selftest("crash-text", crash_text);
}

/* vmx knows no network and net knows no guests: here the cards of the ones meet the ports of the other. */
static const struct net_backend switch_backend = {
    .attach = switch_port_open, .wired = switch_is_wired, .detach = switch_port_close, .transmit = switch_send,
    .set_state = switch_port_set_state, .announce = switch_port_announce, .addresses = switch_port_addresses,
    .set_addresses = switch_port_set_addresses,
};
_Static_assert(NET_ADDRESSES_MAX == SWITCH_PORT_ADDRESSES_MAX, "as many addresses as the switch remembers travel");

/* The first thread: from here on there are stacks with guard pages, and waiting does not stop the CPU. */
static void main_thread(void *arg)
{
    (void)arg;
    wall_clock_init();
    pci_init();
    apicv_allow(boot.config.apicv);
    vmx_init();                                     /* or one sentence why not: the pod goes on without guests */
    net_init(&boot.config);                         /* or one sentence why not: the pod goes on without network */
    net_backend_register(&switch_backend);          /* guests' cards are on the pod's Ethernet */
    log_info("boot", "%u CPUs, %lu MiB free, ready for guests after %lu instructions (TSC)", cpu_count(),
             page_free_count() * PAGE_SIZE / MIB, time_now() - boot.entry_tsc);
    if (teleport_listen(&boot.config) != OK)
        log_error("boot", "this pod cannot be the target of teleports: no listener on port %u", boot.config.teleport_port);
    register_selftests();
    control_init(&boot);                            /* COM1, TCP, autostart, the commands of telepod.ini */
}

void kernel_main(const struct boot_info *from_loader)
{
    console_early_init();                           /* serial ports and debug port: from here on one can see */
    cpu_init();                                     /* descriptor tables, GS base: from here on faults are told */
    selftest_division();
    copy_boot_info(from_loader);
    log_info("boot", "pod %s", boot.config.name);
    page_init(&boot);                               /* who owns which frame */
    paging_init(&boot);                             /* our own page tables: W^X, guard pages */
    console_framebuffer_init(&boot.framebuffer);
    acpi_init((struct hpa){ boot.rsdp });           /* CPUs, I/O APICs, clocks */
    time_init();                                    /* how fast the TSC is */
    interrupt_init();                               /* local APIC, I/O APICs */
    timer_init();
    thread_init_cpu(cpu_this());                    /* this flow is CPU 0's idle thread now */
    console_interrupts_init();                      /* input, and output in the background */
    smp_start(boot.kernel_base);                    /* every other CPU, into its idle loop */
    if (thread_create(NULL, "main", NULL, main_thread, NULL) != OK)
        panic("no memory for the first thread");
    thread_idle();
}
