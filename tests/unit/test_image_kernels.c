/*
 * Linux and Multiboot kernels: where a good one goes and what it finds there, and for every rule the same request with
 * that one rule broken and named.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "kernel/lib/addr.h"
#include "kernel/lib/util.h"
#include "vmx/access_rights.h"
#include "vmx/loader/elf32.h"
#include "vmx/loader/image.h"
#include "vmx/loader/linux_boot.h"
#include "vmx/loader/memory_map.h"
#include "vmx/loader/multiboot.h"
#include "vmx/vcpu_state.h"

#define FILE_SIZE 0x1000
#define PREFERRED (16 * MIB)
#define INIT_SIZE (4 * MIB)

static uint8_t file[FILE_SIZE];
static uint8_t initrd[3 * PAGE_SIZE + 5];
static char cmdline[600];
static struct image_request request;
static struct image_plan plan;
static char why[200];

static void set(uint32_t offset, uint64_t value, size_t size)
{
    memcpy(&file[offset], &value, size);
}

static void start_request(uint64_t memory)
{
    memset(file, 0, sizeof(file));
    strcpy(cmdline, "console=ttyS0");
    request = (struct image_request){ file, FILE_SIZE, NULL, 0, "kernel", cmdline, memory, 0 };
}

static enum err make(void)
{
    /* Exact copies, so that the address sanitizer sees a read beyond the end. */
    struct image_request exact = request;
    void *image = malloc(request.image_size);
    enum err e;

    memcpy(image, file, request.image_size);
    exact.image = image;
    why[0] = '\0';
    e = image_plan_make(&plan, &exact, why, sizeof(why));
    free(image);
    return e;
}

static void refuse(enum err expected, const char *words)
{
    assert_int_equal(make(), expected);
    if (strstr(why, words) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", why, words);
}

/* ---- Linux ---- */

static int a_linux(void **state)
{
    (void)state;
    start_request(64 * MIB);
    set(SETUP_SECTS, 1, 1);
    set(SETUP_BOOT_FLAG, SETUP_BOOT_FLAG_VALUE, 2);
    set(SETUP_JUMP + 1, 0x66, 1);
    set(SETUP_MAGIC, SETUP_MAGIC_VALUE, 4);
    set(SETUP_VERSION, 0x20f, 2);
    set(SETUP_LOADFLAGS, SETUP_LOADED_HIGH, 1);
    set(SETUP_INITRD_ADDR_MAX, 0x7fffffff, 4);
    set(SETUP_XLOADFLAGS, 0x7f, 2);
    set(SETUP_CMDLINE_SIZE, 500, 4);
    set(SETUP_PREF_ADDRESS, PREFERRED, 8);
    set(SETUP_INIT_SIZE, INIT_SIZE, 4);
    return 0;
}

static void with_initrd(void)
{
    request.initrd = initrd;
    request.initrd_size = sizeof(initrd);
}

static void test_linux_place(void **state)
{
    (void)state;
    with_initrd();
    assert_int_equal(make(), OK);
    assert_int_equal(plan.start, START_LINUX64);
    assert_int_equal(plan.entry, PREFERRED + 0x200);
    assert_int_equal(plan.segment_count, 2);
    assert_int_equal(plan.segments[0].gpa, PREFERRED);
    assert_int_equal(plan.segments[0].file_offset, 0x400); /* boot sector and one of setup */
    assert_int_equal(plan.segments[0].file_size, FILE_SIZE - 0x400);
    assert_int_equal(plan.segments[0].memory_size, INIT_SIZE);
    assert_int_equal(plan.segments[1].source, FROM_INITRD);
    assert_int_equal(plan.segments[1].gpa, 64 * MIB - 4 * PAGE_SIZE);
    set(SETUP_SECTS, 0, 1); /* means 4 */
    assert_int_equal(make(), OK);
    assert_int_equal(plan.segments[0].file_offset, 0xa00);
}

static void test_initrd_limits(void **state)
{
    (void)state;
    with_initrd();
    set(SETUP_INITRD_ADDR_MAX, 40 * MIB - 1, 4);
    assert_int_equal(make(), OK);
    assert_int_equal(plan.segments[1].gpa, 40 * MIB - 4 * PAGE_SIZE);
    request.memory_bytes = 8 * GIB; /* an initrd is below the hole, and its address has 32 bits */
    set(SETUP_INITRD_ADDR_MAX, UINT32_MAX, 4);
    assert_int_equal(make(), OK);
    assert_int_equal(plan.segments[1].gpa, MEMORY_LOW_END - 4 * PAGE_SIZE);
}

static uint32_t page_u32(const uint8_t *page, uint32_t offset)
{
    uint32_t value;

    memcpy(&value, page + offset, sizeof(value));
    return value;
}

static uint64_t page_u64(const uint8_t *page, uint32_t offset)
{
    return page_u32(page, offset) | (uint64_t)page_u32(page, offset + 4) << 32;
}

static void test_boot_params(void **state)
{
    uint8_t page[IMAGE_BOOT_PAGE_SIZE];

    (void)state;
    with_initrd();
    request.rsdp = 0xe0000;
    set(SETUP_JUMP + 2 + 0x66, 0xff, 1); /* just beyond the header: not copied */
    assert_int_equal(make(), OK);
    image_boot_page(&plan, &request, LINUX_PAGE_PARAMS, page);
    assert_int_equal(page_u32(page, SETUP_MAGIC), SETUP_MAGIC_VALUE);
    assert_int_equal(page[SETUP_TYPE_OF_LOADER], 0xff);
    assert_int_equal(page_u32(page, SETUP_CMD_LINE_PTR), plan.boot.gpa + LINUX_PAGE_CMDLINE * PAGE_SIZE);
    assert_int_equal(page_u32(page, SETUP_RAMDISK_IMAGE), plan.segments[1].gpa);
    assert_int_equal(page_u32(page, SETUP_RAMDISK_SIZE), sizeof(initrd));
    assert_int_equal(page_u64(page, PARAMS_ACPI_RSDP), 0xe0000);
    assert_int_equal(page[SETUP_JUMP + 2 + 0x66], 0);
    assert_int_equal(page[PARAMS_E820_ENTRIES], 3);
    assert_int_equal(page_u64(page, PARAMS_E820_TABLE + 40), 0x100000);
    assert_int_equal(page_u64(page, PARAMS_E820_TABLE + 48), 63 * MIB);
    assert_int_equal(page_u32(page, PARAMS_E820_TABLE + 56), E820_RAM);
    image_boot_page(&plan, &request, LINUX_PAGE_CMDLINE, page);
    assert_string_equal((char *)page, "console=ttyS0");
}

/* Walks the page tables as a processor does: the first 4 GiB are mapped to themselves. */
static void test_identity(void **state)
{
    uint8_t pages[LINUX_BOOT_PAGES][IMAGE_BOOT_PAGE_SIZE];

    (void)state;
    assert_int_equal(make(), OK);
    assert_int_equal(plan.boot.count, LINUX_BOOT_PAGES);
    for (uint32_t i = 0; i < LINUX_BOOT_PAGES; i++)
        image_boot_page(&plan, &request, i, pages[i]);
    for (uint64_t at = 0; at < 4 * GIB; at += LARGE_PAGE_SIZE) {
        uint64_t entry = page_u64(pages[LINUX_PAGE_PML4], 0);

        assert_int_equal(entry & PAGE_MASK, 3);
        entry = page_u64(pages[(entry - plan.boot.gpa) / PAGE_SIZE], (uint32_t)(at / GIB * 8));
        assert_int_equal(entry & PAGE_MASK, 3);
        entry = page_u64(pages[(entry - plan.boot.gpa) / PAGE_SIZE], (uint32_t)(at / LARGE_PAGE_SIZE % 512 * 8));
        assert_int_equal(entry, at | 0x83);
    }
    assert_int_equal(page_u64(pages[LINUX_PAGE_PML4], 8), 0);
    assert_int_equal(page_u64(pages[LINUX_PAGE_GDT], LINUX_BOOT_CS), 0x00af9b000000ffff);
}

static void test_linux_registers(void **state)
{
    struct vcpu_state s;

    (void)state;
    assert_int_equal(make(), OK);
    image_start_state(&plan, &s);
    assert_int_equal(s.gpr.rip, PREFERRED + 0x200);
    assert_int_equal(s.gpr.gpr[GPR_RSI], plan.boot.gpa);
    assert_int_equal(s.gpr.rflags, 2);
    assert_int_equal(s.control.cr0, 0x80000011);
    assert_int_equal(s.control.cr3, plan.boot.gpa + LINUX_PAGE_PML4 * PAGE_SIZE);
    assert_int_equal(s.control.efer, 0x500);
    assert_int_equal(s.segments.selector[SEGMENT_CS], 0x10);
    assert_int_equal(s.segments.access_rights[SEGMENT_CS], 0xa09b);
    assert_int_equal(s.segments.access_rights[SEGMENT_SS], 0xc093);
}

static void test_linux_refusals(void **state)
{
    (void)state;
    set(SETUP_XLOADFLAGS, 0x7e, 2);
    refuse(ERR_UNSUPPORTED, "no 64-bit entry");
    set(SETUP_VERSION, 0x20b, 2);
    refuse(ERR_UNSUPPORTED, "boot protocol 2.11");
    a_linux(NULL);
    set(SETUP_LOADFLAGS, 0, 1);
    refuse(ERR_UNSUPPORTED, "below 1 MiB");
    a_linux(NULL);
    set(SETUP_PREF_ADDRESS, 0x8000, 8);
    refuse(ERR_INVALID, "below 1 MiB");
    set(SETUP_PREF_ADDRESS, UINT64_MAX, 8);
    refuse(ERR_RANGE, "memory is too small");
    a_linux(NULL);
    set(SETUP_SECTS, 7, 1); /* all of the file */
    refuse(ERR_INVALID, "truncated");
    a_linux(NULL);
    for (request.image_size = SETUP_MAGIC + 4; request.image_size < SETUP_END_LEAST; request.image_size++)
        refuse(ERR_INVALID, "truncated");
}

static void test_linux_sizes(void **state)
{
    (void)state;
    with_initrd();
    request.memory_bytes = 20 * MIB + 4 * PAGE_SIZE;
    assert_int_equal(make(), OK);
    request.memory_bytes -= PAGE_SIZE;
    refuse(ERR_RANGE, "memory is too small: the kernel takes it up to 20 MiB");
    request.memory_bytes = 18 * MIB;
    refuse(ERR_RANGE, "needs 4 MiB from 16 MiB on, and the guest has 18 MiB");
    request.memory_bytes = 64 * MIB;
    request.initrd_size = 65 * MIB;
    refuse(ERR_RANGE, "the initrd (65 MiB) is larger than the guest's memory (64 MiB)");
    request.initrd_size = UINT64_MAX;
    refuse(ERR_RANGE, "larger than the guest's memory");
    a_linux(NULL);
    memset(cmdline, 'x', 500);
    cmdline[500] = '\0';
    assert_int_equal(make(), OK);
    memset(cmdline, 'x', 501);
    cmdline[501] = '\0';
    refuse(ERR_RANGE, "command line is too long: 501 characters, and this kernel takes 500");
}

/* ---- Multiboot ---- */

#define HEADER_AT 0x100
#define LOAD 0x200000u

static void put_header(uint32_t flags)
{
    const struct multiboot_header h = { MULTIBOOT_HEADER_MAGIC, flags, 0u - MULTIBOOT_HEADER_MAGIC - flags,
                                        LOAD + 0x40, LOAD, 0, LOAD + 0x5000, LOAD + 0x80 };

    memcpy(&file[HEADER_AT], &h, flags & MULTIBOOT_ADDRESSES ? sizeof(h) : MULTIBOOT_HEADER_SHORT);
}

static int a_multiboot(void **state)
{
    static const struct elf32_header header = {
        { 0x7f, 'E', 'L', 'F', ELFCLASS32, ELFDATA2LSB, EV_CURRENT }, ET_EXEC, EM_386, 1, 0xc0100010, 52, 0, 0, 52, 32, 1, 0, 0, 0,
    };
    static const struct elf32_program_header segment = { PT_LOAD, 0x80, 0xc0100000, 0x100000, 0x800, 0x2000, 7, 4 };

    (void)state;
    start_request(16 * MIB);
    memcpy(file, &header, sizeof(header));
    memcpy(file + sizeof(header), &segment, sizeof(segment));
    put_header(MULTIBOOT_MEMORY_INFO);
    return 0;
}

static void test_multiboot_elf(void **state)
{
    struct vcpu_state s;

    (void)state;
    assert_int_equal(make(), OK);
    assert_int_equal(plan.start, START_MULTIBOOT);
    assert_int_equal(plan.entry, 0x100010); /* the ELF file names it by virtual address */
    assert_int_equal(plan.segments[0].gpa, 0x100000);
    assert_int_equal(plan.segments[0].memory_size, 0x2000);
    image_start_state(&plan, &s);
    assert_int_equal(s.gpr.rip, 0x100010);
    assert_int_equal(s.gpr.gpr[GPR_RAX], 0x2badb002);
    assert_int_equal(s.gpr.gpr[GPR_RBX], plan.boot.gpa);
    assert_int_equal(s.control.cr0, 0x11);
    assert_int_equal(s.control.efer, 0);
    assert_int_equal(s.segments.access_rights[SEGMENT_CS], 0xc09b);
    assert_int_equal(s.segments.limit[SEGMENT_DS], UINT32_MAX);
}

static void test_multiboot_addresses(void **state)
{
    (void)state;
    memset(file, 0, sizeof(file)); /* no ELF file */
    put_header(MULTIBOOT_ADDRESSES);
    assert_int_equal(make(), OK);
    assert_int_equal(plan.entry, LOAD + 0x80);
    assert_int_equal(plan.segments[0].gpa, LOAD);
    assert_int_equal(plan.segments[0].file_offset, HEADER_AT - 0x40);
    assert_int_equal(plan.segments[0].file_size, FILE_SIZE - HEADER_AT + 0x40); /* load_end_addr 0: all of it */
    assert_int_equal(plan.segments[0].memory_size, 0x5000);
    request.image_size = HEADER_AT + sizeof(struct multiboot_header) - 1;
    refuse(ERR_INVALID, "truncated");
    request.image_size = FILE_SIZE;
    set(HEADER_AT + offsetof(struct multiboot_header, load_addr), LOAD - 0x1000, 4);
    refuse(ERR_INVALID, "header at 0x100 of the file");
    set(HEADER_AT + offsetof(struct multiboot_header, load_addr), LOAD + 0x41, 4);
    refuse(ERR_INVALID, "header at 0x100 of the file");
    put_header(MULTIBOOT_ADDRESSES);
    set(HEADER_AT + offsetof(struct multiboot_header, load_end_addr), LOAD, 4);
    refuse(ERR_INVALID, "nothing");
    put_header(MULTIBOOT_ADDRESSES);
    set(HEADER_AT + offsetof(struct multiboot_header, entry_addr), LOAD + 0x5000, 4);
    refuse(ERR_INVALID, "in no segment");
    put_header(0);
    refuse(ERR_INVALID, "no ELF file, and its header gives no addresses");
}

static void test_multiboot_information(void **state)
{
    uint8_t page[IMAGE_BOOT_PAGE_SIZE];
    struct multiboot_info info;
    struct multiboot_module module;
    struct multiboot_mmap_entry ram;

    (void)state;
    with_initrd();
    assert_int_equal(make(), OK);
    assert_int_equal(plan.segments[1].gpa, 0x102000);
    image_boot_page(&plan, &request, MULTIBOOT_PAGE_INFO, page);
    memcpy(&info, page, sizeof(info));
    assert_int_equal(info.mem_lower, 640);
    assert_int_equal(info.mem_upper, 15 * KIB);
    assert_int_equal(info.mods_count, 1);
    memcpy(&module, page + info.mods_addr - plan.boot.gpa, sizeof(module));
    assert_int_equal(module.mod_start, 0x102000);
    assert_int_equal(module.mod_end, 0x102000 + sizeof(initrd));
    assert_int_equal(info.mmap_length, 3 * sizeof(ram));
    memcpy(&ram, page + info.mmap_addr - plan.boot.gpa + 2 * sizeof(ram), sizeof(ram));
    assert_int_equal(ram.size, 20);
    assert_int_equal(ram.base_addr, 0x100000);
    assert_int_equal(ram.length, 15 * MIB);
    assert_int_equal(info.cmdline, plan.boot.gpa + PAGE_SIZE);
    image_boot_page(&plan, &request, MULTIBOOT_PAGE_CMDLINE, page);
    assert_string_equal((char *)page, "kernel console=ttyS0");
}

static void test_multiboot_refusals(void **state)
{
    struct elf32_program_header *segment = (void *)(file + sizeof(struct elf32_header));

    (void)state;
    put_header(1 << 2);
    refuse(ERR_UNSUPPORTED, "flags 0x4");
    put_header(0);
    segment->p_paddr = MULTIBOOT_BOOT_GPA;
    refuse(ERR_RANGE, "touches the boot information at 0x9d000");
    segment->p_paddr = 0xf0000;
    refuse(ERR_RANGE, "touches the firmware's area");
    segment->p_paddr = 0x100000;
    with_initrd();
    request.initrd_size = 15 * MIB;
    refuse(ERR_RANGE, "memory is too small");
    request.initrd_size = 17 * MIB;
    refuse(ERR_RANGE, "larger than the guest's memory");
    file[HEADER_AT + 8] ^= 1; /* a wrong checksum: no Multiboot kernel, but a 32-bit ELF file */
    request.initrd_size = 0;
    refuse(ERR_UNSUPPORTED, "32-bit ELF file without a Multiboot header");
}

#define LINUX(name) cmocka_unit_test_setup(name, a_linux)
#define MULTIBOOT(name) cmocka_unit_test_setup(name, a_multiboot)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LINUX(test_linux_place),
        LINUX(test_initrd_limits),
        LINUX(test_boot_params),
        LINUX(test_identity),
        LINUX(test_linux_registers),
        LINUX(test_linux_refusals),
        LINUX(test_linux_sizes),
        MULTIBOOT(test_multiboot_elf),
        MULTIBOOT(test_multiboot_addresses),
        MULTIBOOT(test_multiboot_information),
        MULTIBOOT(test_multiboot_refusals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
