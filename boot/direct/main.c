/*
 * Boots Linux on the bare machine exactly as a pod boots it in a guest: the same files, the same 64-bit entry, boot_params
 * from the same code. What it takes from there to the shell is the measure for a guest's boot.
 *
 * An EFI program, made of the pod's own loader. \telepod\ on its volume has vmlinuz, initrd and cmdline. The command line
 * gets ticks.start=N behind it: the TSC just before the kernel's first instruction.
 */
#include <efi.h>
#include <efilib.h>
#include <stdio.h>
#include <string.h>
#include "boot/boot_info.h"
#include "boot/console.h"
#include "boot/firmware.h"
#include "boot/insn.h"
#include "boot/pages.h"
#include "boot/volume.h"
#include "kernel/lib/addr.h"
#include "kernel/lib/util.h"
#include "vmx/loader/image.h"
#include "vmx/loader/linux_boot.h"

#define FILE_MAX GIB
#define CMDLINE_ROOM 2048
#define E820_NVS 4               /* ACPI 6.5, Table 15.6: not for the system to use, with or without ACPI */
#define E820_MAX 128             /* of the zero page */

struct direct_gdtr {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));

_Noreturn void direct_enter(uint64_t entry, uint64_t boot_params, const struct direct_gdtr *gdtr)
    __attribute__((sysv_abi));

EFI_SYSTEM_TABLE *ST;
EFI_BOOT_SERVICES *BS;
EFI_RUNTIME_SERVICES *RT;

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system_table);

static struct {
    struct boot_file kernel, initrd, cmdline;
    char line[CMDLINE_ROOM];
    struct image_request request;
    struct image_plan plan;
    struct boot_info info;
} direct;

static bool load(const char *name, struct boot_file *file)
{
    const char *why;

    if (volume_load(name, FILE_MAX, file, &why) == OK)
        return true;
    say("cannot use \\telepod\\%s: %s", name, why);
    return false;
}

static bool make_plan(void)
{
    char why[160];

    memcpy(direct.line, (const void *)direct.cmdline.base, MIN(direct.cmdline.size, sizeof(direct.line) - 64));
    direct.line[strcspn(direct.line, "\r\n")] = '\0';
    direct.request = (struct image_request){
        .image = (const void *)direct.kernel.base, .image_size = direct.kernel.size, .name = "vmlinuz",
        .cmdline = direct.line, .memory_bytes = GIB, .rsdp = firmware_find_rsdp(),
    };
    if (image_plan_make(&direct.plan, &direct.request, why, sizeof(why)) == OK && direct.plan.start == START_LINUX64)
        return true;
    say("vmlinuz: %s", why);
    return false;
}

/*
 * Whether [base, base + size) is RAM that nobody needs once boot services are gone, and in which nothing of ours lies: the
 * firmware's own page tables may, and its stack is at the top of memory.
 */
static bool is_free(uint64_t base, uint64_t size)
{
    uint64_t end = base + size;

    for (uint32_t i = 0; i < direct.info.memory_count; i++) {
        const struct boot_memory *m = &direct.info.memory[i];

        if (m->base <= base && base < m->base + m->size && m->type == BOOT_MEMORY_USABLE)
            base = m->base + m->size;
    }
    if (base < end)
        say("the memory from 0x%lx on is in use", base);
    return base >= end;
}

/* The machine's own memory map, instead of the guest's. */
static void put_memory_map(uint8_t *params)
{
    static const uint32_t types[] = {
        [BOOT_MEMORY_USABLE] = 1, [BOOT_MEMORY_LOADER] = 1, [BOOT_MEMORY_ACPI] = E820_NVS,
    };
    uint32_t count = MIN(direct.info.memory_count, (uint32_t)E820_MAX);

    params[PARAMS_E820_ENTRIES] = (uint8_t)count;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t type = direct.info.memory[i].type;
        const struct linux_e820_entry entry = { direct.info.memory[i].base, direct.info.memory[i].size,
                                                type < ARRAY_SIZE(types) && types[type] ? types[type] : 2 };

        memcpy(params + PARAMS_E820_TABLE + i * sizeof(entry), &entry, sizeof(entry));
    }
}

static void put_u32(uint8_t *params, uint32_t offset, uint64_t value)
{
    const uint32_t narrow = (uint32_t)value;

    memcpy(params + offset, &narrow, sizeof(narrow));
}

static _Noreturn void enter(void)
{
    const struct image_segment *kernel = &direct.plan.segments[0];
    uint8_t *pages = (void *)direct.plan.boot.gpa;
    const struct direct_gdtr gdtr = { LINUX_GDT_ENTRIES * sizeof(uint64_t) - 1, LINUX_BOOT_PAGE_GPA(LINUX_PAGE_GDT) };
    char *line_end = direct.line + strlen(direct.line);

    insn_cli();
    for (uint32_t i = 0; i < direct.plan.boot.count; i++)
        image_boot_page(&direct.plan, &direct.request, i, pages + i * PAGE_SIZE);
    /* Our page tables from now on: the kernel may go where the firmware has its own. */
    insn_write_cr3(LINUX_BOOT_PAGE_GPA(LINUX_PAGE_PML4));
    memcpy((void *)kernel->gpa, (const uint8_t *)direct.kernel.base + kernel->file_offset, kernel->file_size);
    memset((void *)(kernel->gpa + kernel->file_size), 0, kernel->memory_size - kernel->file_size);
    put_memory_map(pages);
    put_u32(pages, SETUP_RAMDISK_IMAGE, direct.initrd.base);
    put_u32(pages, SETUP_RAMDISK_SIZE, direct.initrd.size);
    snprintf(line_end, 64, " ticks.start=%lu", insn_rdtsc());
    memcpy(pages + LINUX_PAGE_CMDLINE * PAGE_SIZE, direct.line, strlen(direct.line) + 1);
    direct_enter(direct.plan.entry, LINUX_BOOT_PAGE_GPA(LINUX_PAGE_PARAMS), &gdtr);
}

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system_table)
{
    ST = system_table;
    BS = ST->BootServices;
    RT = ST->RuntimeServices;
    console_init();
    BS->SetWatchdogTimer(0, 0, 0, NULL);
    if (volume_open(image) != OK || !load("vmlinuz", &direct.kernel) || !load("initrd", &direct.initrd) ||
        !load("cmdline", &direct.cmdline) || !make_plan() ||
        firmware_read_memory_map(&direct.info) != OK ||
        !is_free(direct.plan.segments[0].gpa, direct.plan.segments[0].memory_size) ||
        !is_free(direct.plan.boot.gpa, direct.plan.boot.count * PAGE_SIZE))
        return EFI_LOAD_ERROR;
    volume_close();
    say("entering Linux");
    if (firmware_leave(image, &direct.info) != OK)
        return EFI_LOAD_ERROR;
    enter();
}
