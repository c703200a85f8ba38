/*
 * The UEFI loader: from the firmware's call to the kernel's first instruction, in the order of the table
 * `steps`. A step that fails has said why in one sentence; the loader then gives everything back and returns
 * to the firmware. A guest's image that is missing is no reason to stop: the pod starts, and refuses to start
 * that guest.
 */
#include <efi.h>
#include <efilib.h>
#include <string.h>
#include "boot/boot_info.h"
#include "boot/config.h"
#include "boot/console.h"
#include "boot/elf.h"
#include "boot/enter.h"
#include "boot/firmware.h"
#include "boot/insn.h"
#include "boot/page_tables.h"
#include "boot/pages.h"
#include "boot/volume.h"
#include "kernel/lib/addr.h"
#include "kernel/lib/util.h"

#define CONFIG_FILE "telepod.ini"
#define KERNEL_FILE "kernel.elf"
#define GUEST_FILE_MAX GIB
#define STACK_BYTES (32 * KIB)
#define WAIT_AFTER_ERROR_SECONDS 30

#define CPUID_EXTENDED_MAX 0x80000000u
#define CPUID_EXTENDED_FEATURES 0x80000001u
#define CPUID_EDX_EXECUTE_DISABLE BIT(20)
#define CPUID_EDX_GIB_PAGES BIT(26)
#define CR4_LA57 BIT(12)

static struct loader {
    EFI_HANDLE image;
    uint64_t entry_tsc;
    bool gib_pages;
    struct boot_info *info;
    struct elf_image kernel;
    struct page_arena tables;
    uint64_t cr3;
    uint64_t stack;
} loader;

/* SDM volume 2, "CPUID--CPU Identification"; volume 3, section 4.1.1 "Four Paging Modes". */
static enum err check_processor(void)
{
    uint32_t features = 0;

    if (insn_cpuid(CPUID_EXTENDED_MAX).eax >= CPUID_EXTENDED_FEATURES)
        features = insn_cpuid(CPUID_EXTENDED_FEATURES).edx;
    loader.gib_pages = features & CPUID_EDX_GIB_PAGES;
    if (!(features & CPUID_EDX_EXECUTE_DISABLE)) {
        say("the processor has no execute-disable bit, or the firmware hides it: a pod needs it");
        return ERR_UNSUPPORTED;
    }
    if (insn_read_cr4() & CR4_LA57) {
        say("the firmware runs with 5-level paging, which a pod does not support: turn it off in its setup");
        return ERR_UNSUPPORTED;
    }
    return OK;
}

static enum err open_volume(void)
{
    return volume_open(loader.image);
}

static enum err create_boot_info(void)
{
    uint64_t base;

    if (pages_alloc(sizeof(struct boot_info), &base) != OK || pages_alloc(STACK_BYTES, &loader.stack) != OK) {
        say("there is not enough memory for the loader's own records");
        return ERR_NO_MEMORY;
    }
    loader.info = memset((void *)base, 0, sizeof(struct boot_info));
    loader.info->magic = BOOT_INFO_MAGIC;
    loader.info->version = BOOT_INFO_VERSION;
    loader.info->size = sizeof(struct boot_info);
    loader.info->entry_tsc = loader.entry_tsc;
    return OK;
}

static enum err report_file(const char *name, enum err e, const char *why)
{
    say("cannot use \\telepod\\%s: %s", name, why);
    return e;
}

static enum err read_config(void)
{
    static struct config_errors errors;
    struct boot_file file;
    const char *why;
    enum err e = volume_load(CONFIG_FILE, CONFIG_TEXT_MAX, &file, &why);

    if (e != OK)
        return report_file(CONFIG_FILE, e, why);
    if (!config_parse((const char *)file.base, file.size, &loader.info->config, &errors))
        e = ERR_INVALID;
    pages_free(file.base);
    for (uint32_t i = 0; i < MIN(errors.count, CONFIG_ERRORS_MAX); i++)
        say("\\telepod\\" CONFIG_FILE ", line %u: %s", errors.list[i].line, errors.list[i].sentence);
    if (errors.count > CONFIG_ERRORS_MAX)
        say("\\telepod\\" CONFIG_FILE " has more errors; these are the first");
    return e;
}

/* Gives the kernel's segments their memory. Gaps between them, and what the file does not fill, are zero. */
static enum err place_kernel(const uint8_t *file)
{
    struct boot_info *info = loader.info;
    const struct elf_image *kernel = &loader.kernel;

    if (pages_alloc(kernel->size, &info->kernel_base) != OK) {
        say("there is not enough memory for the kernel (%lu bytes)", kernel->size);
        return ERR_NO_MEMORY;
    }
    info->kernel_size = kernel->size;
    memset((void *)info->kernel_base, 0, kernel->size);
    for (uint32_t i = 0; i < kernel->segment_count; i++) {
        const struct elf_segment *s = &kernel->segments[i];

        memcpy((void *)(info->kernel_base + s->offset), file + s->file_offset, s->file_size);
    }
    return OK;
}

static enum err load_kernel(void)
{
    struct boot_file file;
    const char *why;
    enum err e = volume_load(KERNEL_FILE, ELF_MEMORY_MAX, &file, &why);

    if (e != OK)
        return report_file(KERNEL_FILE, e, why);
    e = elf_parse((const void *)file.base, file.size, &loader.kernel, &why);
    if (e != OK)
        report_file(KERNEL_FILE, e, why);
    else
        e = place_kernel((const uint8_t *)file.base);
    pages_free(file.base);
    return e;
}

static bool file_is_loaded(const char *name)
{
    for (uint32_t i = 0; i < loader.info->file_count; i++) {
        if (strcmp(loader.info->files[i].name, name) == 0)
            return true;
    }
    return false;
}

/* Each file once, however many guests use it. One that is not there may still be uploaded. */
static void load_guest_file(const char *name, const char *guest)
{
    struct boot_file *file = &loader.info->files[loader.info->file_count];
    const char *why;

    if (!*name || file_is_loaded(name))
        return;
    if (volume_load(name, GUEST_FILE_MAX, file, &why) == OK) {
        loader.info->file_count++;
        return;
    }
    memset(file, 0, sizeof(*file));
    say("warning: cannot use \\telepod\\%s: %s; guest %s cannot be started until it is uploaded", name, why, guest);
}

static enum err load_guest_files(void)
{
    const struct pod_config *config = &loader.info->config;

    for (uint32_t i = 0; i < config->guest_count; i++) {
        const struct guest_config *guest = &config->guests[i];

        load_guest_file(guest->image, guest->name);
        load_guest_file(guest->initrd, guest->name);
        load_guest_file(guest->disk, guest->name);
    }
    volume_close();
    return OK;
}

static enum err find_hardware(void)
{
    loader.info->rsdp = firmware_find_rsdp();
    firmware_find_framebuffer(&loader.info->framebuffer);
    return firmware_read_memory_map(loader.info);
}

static enum err build_page_tables(void)
{
    loader.tables.size = page_tables_size(loader.info, &loader.kernel, loader.gib_pages);
    if (pages_alloc(loader.tables.size, &loader.tables.base) != OK) {
        say("there is not enough memory for page tables (%lu bytes)", loader.tables.size);
        return ERR_NO_MEMORY;
    }
    loader.cr3 = page_tables_build(&loader.tables, loader.info, &loader.kernel, loader.gib_pages);
    if (!loader.cr3) {
        say("the page tables need more than the %lu bytes that were computed for them", loader.tables.size);
        return ERR_RANGE;
    }
    return OK;
}

static enum err leave_firmware(void)
{
    say("kernel %lu KiB, %u guest files; entering the kernel", loader.info->kernel_size / KIB,
        loader.info->file_count);
    return firmware_leave(loader.image, loader.info);
}

static enum err (*const steps[])(void) = {
    check_processor,
    open_volume,
    create_boot_info,
    read_config,
    load_kernel,
    load_guest_files,
    find_hardware,
    build_page_tables,
    leave_firmware,
};

static EFI_STATUS give_up(void)
{
    volume_close();
    pages_free_all();
    say("the pod was not started; back to the firmware after a key press, or in %d seconds",
        WAIT_AFTER_ERROR_SECONDS);
    console_wait_key(WAIT_AFTER_ERROR_SECONDS);
    return EFI_LOAD_ERROR;
}

/* What <efilib.h> declares. gnu-efi's own library is not used: it brings a second memcpy() and a pool. */
EFI_SYSTEM_TABLE *ST;
EFI_BOOT_SERVICES *BS;
EFI_RUNTIME_SERVICES *RT;

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system_table);

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system_table)
{
    loader.entry_tsc = insn_rdtsc();
    loader.image = image;
    ST = system_table;
    BS = ST->BootServices;
    RT = ST->RuntimeServices;
    console_init();
    BS->SetWatchdogTimer(0, 0, 0, NULL); /* five minutes are too few for large files on slow disks */

    for (UINTN i = 0; i < ARRAY_SIZE(steps); i++) {
        if (steps[i]() != OK)
            return give_up();
    }
    enter_kernel(loader.cr3, DIRECT_MAP_BASE + loader.stack + STACK_BYTES, loader.kernel.entry,
                 (const struct boot_info *)(DIRECT_MAP_BASE + (uint64_t)loader.info));
}
