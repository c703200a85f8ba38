/*
 * Guarantees: the first panic of the machine stops every other CPU, prints its message, the registers and the calls
 * that led there, and halts. It takes no lock and needs no interrupt, no heap and no thread. A panic inside a panic
 * prints one line.
 */
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include "boot/boot_info.h"
#include "kernel/arch/insn.h"
#include "kernel/lapic.h"
#include "kernel/arch/msr.h"
#include "kernel/arch/trap.h"
#include "kernel/console.h"
#include "kernel/cpu.h"
#include "kernel/lib/util.h"
#include "kernel/log.h"
#include "kernel/symbols.h"
#include "kernel/thread.h"
#include "mm/paging.h"

#define LINE_MAX 256
#define FRAMES_MAX 24

static atomic_uint panics, stray_nmis;

static void print(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void print(const char *format, ...)
{
    char line[LINE_MAX];
    va_list args;

    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    console_write(line, strlen(line));
}

static __attribute__((noreturn)) void halt_forever(void)
{
    for (;;) {
        cli();
        hlt();
    }
}

static void print_address(uint64_t address)
{
    uint64_t offset;
    const char *name = symbol_find(address, &offset);

    print("  %016lx  %s+%#lx\n", address, name ? name : "?", offset);
}

static void print_registers(const struct trap_frame *f)
{
    print("RIP %016lx  RSP %016lx  RFLAGS %08lx  CS %lx SS %lx\n", f->rip, f->rsp, f->rflags, f->cs, f->ss);
    print("RAX %016lx  RBX %016lx  RCX %016lx  RDX %016lx\n", f->rax, f->rbx, f->rcx, f->rdx);
    print("RSI %016lx  RDI %016lx  RBP %016lx  R8  %016lx\n", f->rsi, f->rdi, f->rbp, f->r8);
    print("R9  %016lx  R10 %016lx  R11 %016lx  R12 %016lx\n", f->r9, f->r10, f->r11, f->r12);
    print("R13 %016lx  R14 %016lx  R15 %016lx\n", f->r13, f->r14, f->r15);
    print("CR0 %08lx  CR2 %016lx  CR3 %016lx  CR4 %08lx\n", read_cr0(), read_cr2(), read_cr3(), read_cr4());
}

/* A frame pointer chain may be damaged, which is perhaps why we are here: each link is probed and must lead upward. */
static bool read_word(uint64_t address, uint64_t *value)
{
    uint8_t *bytes = (uint8_t *)value;

    for (unsigned i = 0; i < sizeof(*value); i++)
        if (!probe_read8((const uint8_t *)address + i, &bytes[i]))
            return false;
    return true;
}

static void print_backtrace(const struct trap_frame *f)
{
    uint64_t rbp = f->rbp, next, ret;

    print("backtrace:\n");
    print_address(f->rip);
    for (unsigned i = 0; i < FRAMES_MAX && rbp >= DIRECT_MAP_BASE && rbp % sizeof(uint64_t) == 0; i++) {
        if (!read_word(rbp, &next) || !read_word(rbp + sizeof(uint64_t), &ret) || !ret)
            return;
        print_address(ret - 1); /* inside the call, also if it was a function's last instruction */
        if (next <= rbp)
            return;
        rbp = next;
    }
}

/* CPU and thread, as far as they are there: a panic may come before either. */
static void print_where(void)
{
    struct cpu *cpu = rdmsr(IA32_GS_BASE) ? cpu_this() : NULL;

    if (cpu && cpu->current)
        print("on CPU %u, thread %s\n", cpu->index, thread_name(cpu->current));
    else
        print("before threads run\n");
}

static __attribute__((noreturn)) void report(const struct trap_frame *f, const char *format, va_list args)
{
    char message[LINE_MAX];
    unsigned before = atomic_fetch_add(&panics, 1);

    cli();
    console_panic_mode();
    vsnprintf(message, sizeof(message), format, args);
    if (before) {
        print("panic inside or beside a panic: %s\n", message);
        halt_forever();
    }
    if (lapic_is_ready())
        lapic_send(0, LAPIC_ICR_ASSERT | LAPIC_ICR_ALL_BUT_SELF | LAPIC_ICR_NMI);
    print("\npanic: %s\n", message);
    print_where();
    print_registers(f);
    print_backtrace(f);
    print("panic: the pod is stopped\n");
    console_flush();
    halt_forever();
}

void panic_trap(const struct trap_frame *frame, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    report(frame, format, args);
}

void panic(const char *format, ...)
{
    struct trap_frame frame;
    va_list args;

    trap_capture(&frame);
    va_start(args, format);
    report(&frame, format, args);
}

void panic_handle_nmi(void)
{
    if (atomic_load(&panics))
        halt_forever();
    atomic_fetch_add(&stray_nmis, 1); /* not logged here: the interrupted code may hold the log's lock */
}
