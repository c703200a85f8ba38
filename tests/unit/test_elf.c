/* The kernel's ELF file: a good one, and for every rule the same file with that one rule broken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "boot/boot_info.h"
#include "boot/elf.h"
#include "kernel/lib/util.h"

#define FILE_BYTES 0x3000

/* Offsets of fields in the file: the ELF header, and program header n behind it. */
#define E_CLASS 4
#define E_DATA 5
#define E_IDENT_VERSION 6
#define E_TYPE 16
#define E_MACHINE 18
#define E_VERSION 20
#define E_ENTRY 24
#define E_PHOFF 32
#define E_PHENTSIZE 54
#define E_PHNUM 56
#define PH(n) (64 + 56 * (n))
#define P_TYPE(n) (PH(n) + 0)
#define P_FLAGS(n) (PH(n) + 4)
#define P_OFFSET(n) (PH(n) + 8)
#define P_VADDR(n) (PH(n) + 16)
#define P_FILESZ(n) (PH(n) + 32)
#define P_MEMSZ(n) (PH(n) + 40)

static uint8_t file[FILE_BYTES];

static void put(size_t offset, unsigned bytes, uint64_t value)
{
    memcpy(&file[offset], &value, bytes);
}

static void put_segment(unsigned n, uint32_t flags, uint64_t offset, uint64_t vaddr, uint64_t filesz,
                        uint64_t memsz)
{
    put(P_TYPE(n), 4, 1);
    put(P_FLAGS(n), 4, flags);
    put(P_OFFSET(n), 8, offset);
    put(P_VADDR(n), 8, vaddr);
    put(P_FILESZ(n), 8, filesz);
    put(P_MEMSZ(n), 8, memsz);
}

static void make_good_file(void)
{
    static const uint8_t ident[] = { 0x7f, 'E', 'L', 'F', 2, 1, 1 };

    memset(file, 0, sizeof(file));
    memcpy(file, ident, sizeof(ident));
    put(E_TYPE, 2, 2);
    put(E_MACHINE, 2, 62);
    put(E_VERSION, 4, 1);
    put(E_ENTRY, 8, KERNEL_BASE + 0x1010);
    put(E_PHOFF, 8, PH(0));
    put(E_PHENTSIZE, 2, 56);
    put(E_PHNUM, 2, 3);
    put_segment(0, 6, 0x2000, KERNEL_BASE + 0x4000, 0x1000, 0x5001); /* data and .bss, first on purpose */
    put_segment(1, 5, 0x1000, KERNEL_BASE + 0x1000, 0x1000, 0x1000);
    put_segment(2, 4, 0x1800, KERNEL_BASE + 0x2000, 0x10, 0x10);
}

static enum err parse(struct elf_image *image, const char **why, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1); /* of just that size, for the sanitizer */
    enum err e;

    memcpy(copy, file, size);
    *why = NULL;
    e = elf_parse(copy, size, image, why);
    free(copy);
    return e;
}

static void test_good_file(void **state)
{
    struct elf_image image;
    const char *why;

    (void)state;
    make_good_file();
    assert_int_equal(parse(&image, &why, FILE_BYTES), OK);
    assert_int_equal(image.entry, KERNEL_BASE + 0x1010);
    assert_int_equal(image.size, 0xa000);
    assert_int_equal(image.segment_count, 3);
    assert_int_equal(image.segments[0].offset, 0x1000);
    assert_int_equal(image.segments[0].flags, ELF_READ | ELF_EXECUTE);
    assert_int_equal(image.segments[1].offset, 0x2000);
    assert_int_equal(image.segments[1].file_offset, 0x1800);
    assert_int_equal(image.segments[2].memory_size, 0x5001);
    assert_int_equal(image.segments[2].file_size, 0x1000);
    assert_int_equal(image.segments[2].flags, ELF_READ | ELF_WRITE);
}

static void test_other_program_headers_and_empty_segments_do_not_matter(void **state)
{
    struct elf_image image;
    const char *why;

    (void)state;
    make_good_file();
    put(P_TYPE(2), 4, 0x6474e551); /* PT_GNU_STACK */
    put(P_OFFSET(2), 8, UINT64_MAX);
    assert_int_equal(parse(&image, &why, FILE_BYTES), OK);
    assert_int_equal(image.segment_count, 2);
    make_good_file();
    put_segment(2, 4, UINT64_MAX, 1, 0, 0);
    assert_int_equal(parse(&image, &why, FILE_BYTES), OK);
    assert_int_equal(image.segment_count, 2);
}

static const struct damage {
    size_t offset;
    unsigned bytes;
    uint64_t value;
    const char *says;
} damages[] = {
    { 0, 1, 'x', "does not start as an ELF" },
    { E_CLASS, 1, 1, "not an ELF file for x86-64" },
    { E_DATA, 1, 2, "not an ELF file for x86-64" },
    { E_MACHINE, 2, 3, "not an ELF file for x86-64" },
    { E_IDENT_VERSION, 1, 2, "version" },
    { E_VERSION, 4, 0, "version" },
    { E_TYPE, 2, 3, "ET_EXEC" },
    { E_PHENTSIZE, 2, 32, "no program headers" },
    { E_PHNUM, 2, 0, "no program headers" },
    { E_PHNUM, 2, 0xffff, "behind the end" },
    { E_PHOFF, 8, FILE_BYTES, "behind the end" },
    { E_PHOFF, 8, UINT64_MAX - 8, "behind the end" },
    { E_ENTRY, 8, KERNEL_BASE + 0x2000, "entry" },
    { E_ENTRY, 8, 0, "entry" },
    { E_ENTRY, 8, KERNEL_BASE + 0x4000, "entry" },
    { P_TYPE(2), 4, 2, "dynamically" },
    { P_TYPE(2), 4, 3, "dynamically" },
    { P_OFFSET(1), 8, FILE_BYTES, "behind the end" },
    { P_OFFSET(1), 8, UINT64_MAX, "behind the end" },
    { P_FILESZ(1), 8, UINT64_MAX, "behind the end" },
    { P_MEMSZ(1), 8, 0xfff, "smaller in memory" },
    { P_MEMSZ(0), 8, UINT64_MAX, "outside the 64 MiB" },
    { P_MEMSZ(0), 8, ELF_MEMORY_MAX - 0x3fff, "outside the 64 MiB" },
    { P_VADDR(0), 8, 0x1000, "outside the 64 MiB" },
    { P_VADDR(0), 8, KERNEL_BASE - 0x1000, "outside the 64 MiB" },
    { P_VADDR(0), 8, KERNEL_BASE + ELF_MEMORY_MAX, "outside the 64 MiB" },
    { P_VADDR(1), 8, KERNEL_BASE + 0x1001, "page of its own" },
    { P_FLAGS(0), 4, 7, "both writable and executable" },
    { P_VADDR(2), 8, KERNEL_BASE + 0x1000, "share a page" },
    { P_VADDR(2), 8, KERNEL_BASE + 0x9000, "share a page" },
    { P_MEMSZ(2), 8, 0x2001, "share a page" },
};

static void test_every_rule_broken_alone(void **state)
{
    struct elf_image image;
    const char *why;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(damages); i++) {
        make_good_file();
        put(damages[i].offset, damages[i].bytes, damages[i].value);
        assert_int_not_equal(parse(&image, &why, FILE_BYTES), OK);
        if (!why || !strstr(why, damages[i].says))
            fail_msg("damage %zu: expected \"%s\", got \"%s\"", i, damages[i].says, why ? why : "nothing");
    }
}

static void test_largest_image_fits(void **state)
{
    struct elf_image image;
    const char *why;

    (void)state;
    make_good_file();
    put(P_MEMSZ(0), 8, ELF_MEMORY_MAX - 0x4000);
    assert_int_equal(parse(&image, &why, FILE_BYTES), OK);
    assert_int_equal(image.size, ELF_MEMORY_MAX);
}

static void test_too_many_segments(void **state)
{
    struct elf_image image;
    const char *why;

    (void)state;
    make_good_file();
    put(E_PHNUM, 2, ELF_SEGMENTS_MAX + 1);
    for (unsigned n = 0; n <= ELF_SEGMENTS_MAX; n++)
        put_segment(n, 5, 0x1000, KERNEL_BASE + 0x1000 * n, 0x1000, 0x1000);
    assert_int_equal(parse(&image, &why, FILE_BYTES), ERR_RANGE);
    put(E_PHNUM, 2, ELF_SEGMENTS_MAX);
    assert_int_equal(parse(&image, &why, FILE_BYTES), OK);
}

static void test_every_truncation_is_refused(void **state)
{
    struct elf_image image;
    const char *why;

    (void)state;
    make_good_file();
    for (size_t size = 0; size < FILE_BYTES; size += size < 512 ? 1 : 37) {
        assert_int_not_equal(parse(&image, &why, size), OK);
        assert_non_null(why);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_file),
        cmocka_unit_test(test_other_program_headers_and_empty_segments_do_not_matter),
        cmocka_unit_test(test_every_rule_broken_alone),
        cmocka_unit_test(test_largest_image_fits),
        cmocka_unit_test(test_too_many_segments),
        cmocka_unit_test(test_every_truncation_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
