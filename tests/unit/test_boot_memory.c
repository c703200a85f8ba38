/* The loader's memory map and its page tables, walked as the processor would. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "boot/memory_map.h"
#include "boot/page_tables.h"
#include "kernel/lib/addr.h"
#include "kernel/lib/util.h"

#define PRESENT BIT(0)
#define WRITE BIT(1)
#define PAGE_SIZE_BIT BIT(7)
#define EXECUTE_DISABLE BIT(63)
#define ADDRESS 0x000ffffffffff000ULL
#define KERNEL_PHYSICAL 0x12345000ULL

static struct boot_info info;

static void add(uint64_t base, uint64_t size, uint32_t type)
{
    assert_int_equal(memory_map_add(&info, base, size, type), OK);
}

static void test_map_is_sorted_and_merged(void **state)
{
    (void)state;
    memset(&info, 0, sizeof(info));
    add(0x3000, 0x1000, BOOT_MEMORY_USABLE);
    add(0x1000, 0x1000, BOOT_MEMORY_USABLE);
    add(0x5000, 0x1000, BOOT_MEMORY_LOADER);
    add(0x9000, 0, BOOT_MEMORY_LOADER);
    add(0x2000, 0x1000, BOOT_MEMORY_USABLE);
    add(0x4000, 0x1000, BOOT_MEMORY_USABLE);
    assert_int_equal(memory_map_finish(&info), OK);
    assert_int_equal(info.memory_count, 2);
    assert_int_equal(info.memory[0].base, 0x1000);
    assert_int_equal(info.memory[0].size, 0x4000);
    assert_int_equal(info.memory[1].base, 0x5000);
    assert_int_equal(info.memory[1].type, BOOT_MEMORY_LOADER);
    assert_int_equal(info.memory[2].size, 0);
}

static void test_bad_ranges_are_refused(void **state)
{
    (void)state;
    memset(&info, 0, sizeof(info));
    assert_int_equal(memory_map_add(&info, 0x800, 0x1000, BOOT_MEMORY_USABLE), ERR_RANGE);
    assert_int_equal(memory_map_add(&info, 0x1000, 0x800, BOOT_MEMORY_USABLE), ERR_RANGE);
    assert_int_equal(memory_map_add(&info, -0x1000ULL, 0x2000, BOOT_MEMORY_USABLE), ERR_RANGE);
    for (uint64_t i = 0; i < BOOT_MEMORY_MAX; i++)
        add(i * 0x2000, 0x1000, BOOT_MEMORY_USABLE);
    assert_int_equal(memory_map_add(&info, GIB, 0x1000, BOOT_MEMORY_USABLE), ERR_RANGE);
    memset(&info, 0, sizeof(info));
    add(0x1000, 0x3000, BOOT_MEMORY_USABLE);
    add(0x3000, 0x1000, BOOT_MEMORY_LOADER);
    assert_int_equal(memory_map_finish(&info), ERR_INVALID);
}

/* What CR3 translates `virt` to: the leaf entry's physical address plus the offset, its rights in *rights; 0:
   nothing. */
static uint64_t translate(uint64_t cr3, uint64_t virt, uint64_t *rights)
{
    uint64_t table = cr3;

    for (unsigned shift = 39;; shift -= 9) {
        uint64_t entry = ((uint64_t *)table)[virt >> shift & 511];

        if (!(entry & PRESENT))
            return 0;
        if (shift == PAGE_SHIFT || (entry & PAGE_SIZE_BIT)) {
            *rights = entry & (WRITE | EXECUTE_DISABLE);
            return (entry & ADDRESS & ~(BIT(shift) - 1)) | (virt & (BIT(shift) - 1));
        }
        table = entry & ADDRESS;
    }
}

static const struct elf_image image = {
    .size = 0x403000,
    .segment_count = 3,
    .segments = { { .offset = 0x1000, .memory_size = 0x1000, .flags = ELF_READ | ELF_EXECUTE },
                  { .offset = 0x2000, .memory_size = 0x10, .flags = ELF_READ },
                  { .offset = 0x4000, .memory_size = 0x3fe001, .flags = ELF_READ | ELF_WRITE } },
};

static void check_memory(uint64_t cr3, uint64_t physical)
{
    uint64_t rights = 0;

    assert_int_equal(translate(cr3, physical, &rights), physical);
    assert_int_equal(rights, WRITE);
    assert_int_equal(translate(cr3, DIRECT_MAP_BASE + physical, &rights), physical);
    assert_int_equal(rights, WRITE);
}

static void check_tables(bool gib_pages)
{
    struct page_arena arena = { .size = page_tables_size(&info, &image, gib_pages) };
    void *memory = aligned_alloc(PAGE_SIZE, arena.size);
    uint64_t cr3, rights = 0;

    arena.base = (uint64_t)memory;
    memset(memory, 0xff, arena.size);
    cr3 = page_tables_build(&arena, &info, &image, gib_pages);
    assert_int_not_equal(cr3, 0);
    check_memory(cr3, 0x1234);
    check_memory(cr3, 4 * GIB - 1);
    check_memory(cr3, 5 * GIB + 0x1ff);
    check_memory(cr3, 700 * GIB + 0x123456);
    assert_int_equal(translate(cr3, 20 * GIB, &rights), 0);
    assert_int_equal(translate(cr3, 699 * GIB, &rights), 0);

    assert_int_equal(translate(cr3, KERNEL_BASE, &rights), 0);
    assert_int_equal(translate(cr3, KERNEL_BASE + 0x1abc, &rights), KERNEL_PHYSICAL + 0x1abc);
    assert_int_equal(rights, 0);
    assert_int_equal(translate(cr3, KERNEL_BASE + 0x2000, &rights), KERNEL_PHYSICAL + 0x2000);
    assert_int_equal(rights, EXECUTE_DISABLE);
    assert_int_equal(translate(cr3, KERNEL_BASE + 0x3000, &rights), 0);
    assert_int_equal(translate(cr3, KERNEL_BASE + 0x402000, &rights), KERNEL_PHYSICAL + 0x402000);
    assert_int_equal(rights, EXECUTE_DISABLE | WRITE);
    assert_int_equal(translate(cr3, KERNEL_BASE + 0x403000, &rights), 0);

    arena.used = 0;
    arena.size = 8 * PAGE_SIZE; /* too small is said, not overrun */
    assert_int_equal(page_tables_build(&arena, &info, &image, gib_pages), 0);
    free(memory);
}

static void test_tables(void **state)
{
    (void)state;
    memset(&info, 0, sizeof(info));
    info.kernel_base = KERNEL_PHYSICAL;
    add(0, GIB, BOOT_MEMORY_USABLE);
    add(4 * GIB, 2 * GIB, BOOT_MEMORY_USABLE);
    add(20 * GIB, GIB, BOOT_MEMORY_RESERVED);
    add(700 * GIB, 4 * MIB, BOOT_MEMORY_ACPI);
    check_tables(true);
    check_tables(false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_map_is_sorted_and_merged),
        cmocka_unit_test(test_bad_ranges_are_refused),
        cmocka_unit_test(test_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
