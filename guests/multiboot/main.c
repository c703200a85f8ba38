/*
 * A Multiboot-1 kernel of 32 bits that checks how it was started: the registers, and all that the boot information says
 * (Multiboot 0.6.96, 3.2 and 3.3). Its verdict is its last line, and a byte at port F4h: 0 pass, 1 fail.
 *
 * It knows the specification and nothing of the loader: the structures are written down here once more.
 */
#include <stdbool.h>
#include <stdint.h>

#define BOOTLOADER_MAGIC 0x2badb002u
#define COM1_DATA 0x3f8
#define COM1_LSR 0x3fd
#define LSR_THRE 0x20
#define EXIT_PORT 0xf4
#define CR0_PE 1u
#define CR0_PG 0x80000000u
#define EFLAGS_IF 0x200u
#define EFLAGS_VM 0x20000u
#define KIB 1024u
#define PAGE_MASK 4095u
#define RAM 1u

enum { HAS_MEMORY = 1 << 0, HAS_CMDLINE = 1 << 2, HAS_MODULES = 1 << 3, HAS_MMAP = 1 << 6 };

struct information {
    uint32_t flags, mem_lower, mem_upper, boot_device;
    const char *cmdline;
    uint32_t mods_count;
    const struct module { uint32_t start, end; const char *string; uint32_t reserved; } *mods;
    uint32_t syms[4];
    uint32_t mmap_length, mmap_addr;
};

struct range {
    uint32_t size;
    uint64_t base, length;
    uint32_t type;
} __attribute__((packed));

void multiboot_main(uint32_t magic, const struct information *information);

static bool failed;

static void out(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static uint8_t in(uint16_t port)
{
    uint8_t value;

    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static void print(const char *text)
{
    for (; *text; text++) {
        while (!(in(COM1_LSR) & LSR_THRE))
            ;
        out(COM1_DATA, (uint8_t)*text);
    }
}

static void print_number(uint32_t value)
{
    char digits[11];
    char *at = &digits[10];

    *at = '\0';
    do
        *--at = (char)('0' + value % 10);
    while (value /= 10);
    print(at);
}

static void check(bool is_right, const char *what)
{
    if (is_right)
        return;
    failed = true;
    print("multiboot: wrong: ");
    print(what);
    print("\n");
}

static void check_machine_state(void)
{
    uint32_t cr0, eflags;
    uint16_t cs, ds;

    __asm__ volatile("mov %%cr0, %0" : "=r"(cr0));
    __asm__ volatile("pushf; pop %0" : "=r"(eflags));
    __asm__ volatile("mov %%cs, %0" : "=r"(cs));
    __asm__ volatile("mov %%ds, %0" : "=r"(ds));
    check(cr0 & CR0_PE, "CR0.PE");
    check(!(cr0 & CR0_PG), "CR0.PG");
    check(!(eflags & (EFLAGS_IF | EFLAGS_VM)), "EFLAGS");
    check(cs != ds && cs && ds, "selectors");
}

/* The RAM from 1 MiB on is one range, and mem_upper says its size too. */
static void check_memory(const struct information *information)
{
    uint32_t end = information->mmap_addr + information->mmap_length;
    bool has_upper = false;

    check(information->mem_lower > 512 && information->mem_lower <= 640, "mem_lower");
    for (uint32_t at = information->mmap_addr; at < end; at += ((const struct range *)at)->size + sizeof(uint32_t)) {
        const struct range *r = (const struct range *)at;

        has_upper |= r->type == RAM && r->base == KIB * KIB && r->length == (uint64_t)information->mem_upper * KIB;
    }
    check(has_upper, "memory map");
    print("multiboot: memory ");
    print_number(information->mem_upper / KIB + 1);
    print(" MiB\n");
}

/* The module's bytes add up to what its first line says: "sum N". */
static void check_module(const struct module *module)
{
    const uint8_t *at = (const uint8_t *)module->start;
    uint32_t sum = 0, wanted = 0;

    check((module->start & PAGE_MASK) == 0, "module's place");
    for (at += 4; *at >= '0' && *at <= '9'; at++)
        wanted = wanted * 10 + (*at - '0');
    for (; at < (const uint8_t *)module->end; at++)
        sum += *at;
    check(sum == wanted, "module's content");
    print("multiboot: module ");
    print_number(module->end - module->start);
    print(" bytes\n");
}

void multiboot_main(uint32_t magic, const struct information *information)
{
    const uint32_t wanted = HAS_MEMORY | HAS_CMDLINE | HAS_MMAP;

    check(magic == BOOTLOADER_MAGIC, "EAX");
    check_machine_state();
    check((information->flags & wanted) == wanted, "flags");
    print("multiboot: command line ");
    print(information->cmdline);
    print("\n");
    check_memory(information);
    if (information->flags & HAS_MODULES && information->mods_count)
        check_module(information->mods);
    print(failed ? "multiboot: FAIL\n" : "multiboot: pass\n");
    out(EXIT_PORT, failed);
}
