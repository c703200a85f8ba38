/*
 * Guest images: a good one of either kind, and for every rule the same file with that one rule broken and
 * named.
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
#include "kernel/lib/elf64.h"
#include "vmx/loader/image.h"

#define FILE_SIZE 0x3000
#define MEMORY (32 * MIB)
#define HEADERS 3

static struct {
    struct elf64_header header;
    struct elf64_program_header program[IMAGE_SEGMENTS_MAX + 2];
    uint8_t rest[FILE_SIZE - 64 - 56 * (IMAGE_SEGMENTS_MAX + 2)];
} file;
_Static_assert(sizeof(file) == FILE_SIZE, "no padding");

static char why[200];

static int setup(void **state)
{
    static const uint8_t ident[EI_NIDENT] = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT };

    (void)state;
    memset(&file, 0, sizeof(file));
    memcpy(file.header.e_ident, ident, sizeof(ident));
    file.header.e_type = ET_EXEC;
    file.header.e_machine = EM_X86_64;
    file.header.e_entry = 0x8010;
    file.header.e_phoff = sizeof(struct elf64_header);
    file.header.e_phentsize = sizeof(struct elf64_program_header);
    file.header.e_phnum = HEADERS;
    file.program[0].p_type = 4; /* PT_NOTE: of no interest */
    file.program[1] =
        (struct elf64_program_header){ PT_LOAD, 5, 0x1000, 0x12345000, 0x8000, 0x800, 0x1000, 0x1000 };
    file.program[2] =
        (struct elf64_program_header){ PT_LOAD, 6, 0x2000, 0x12400000, 0x100000, 0x1000, 0x300000, 0x1000 };
    return 0;
}

static enum err plan_bytes(struct image_plan *plan, const void *image, uint64_t size, uint64_t memory, char *sentence,
                           size_t sentence_size)
{
    const struct image_request request = { .image = image, .image_size = size, .name = "image", .cmdline = "",
                                           .memory_bytes = memory };

    return image_plan_make(plan, &request, sentence, sentence_size);
}

static enum err plan_make(struct image_plan *plan, uint64_t size)
{
    /* An exact copy, so that the address sanitizer sees a read beyond the end. */
    void *copy = malloc(size != 0 ? size : 1);
    enum err e;

    memcpy(copy, &file, size);
    why[0] = '\0';
    e = plan_bytes(plan, copy, size, MEMORY, why, sizeof(why));
    free(copy);
    return e;
}

static void expect_refusal(uint64_t size, enum err expected, const char *words)
{
    struct image_plan plan, before;

    memset(&plan, 0x5a, sizeof(plan));
    before = plan;
    assert_int_equal(plan_make(&plan, size), expected);
    assert_memory_equal(&plan, &before, sizeof(plan));
    if (strstr(why, words) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", why, words);
}

static void refuse(enum err expected, const char *words)
{
    expect_refusal(FILE_SIZE, expected, words);
}

static void test_good(void **state)
{
    struct image_plan plan;

    (void)state;
    assert_int_equal(plan_make(&plan, FILE_SIZE), OK);
    assert_int_equal(plan.entry, 0x8010);
    assert_int_equal(plan.segment_count, 2);
    assert_int_equal(plan.segments[0].gpa, 0x8000); /* the physical address counts */
    assert_int_equal(plan.segments[0].file_offset, 0x1000);
    assert_int_equal(plan.segments[0].file_size, 0x800);
    assert_int_equal(plan.segments[0].memory_size, 0x1000);
    assert_int_equal(plan.segments[1].gpa, 0x100000);
}

/* Every shorter file is refused, with a sentence. */
static void test_truncated(void **state)
{
    struct image_plan plan;

    (void)state;
    for (uint64_t size = sizeof(uint32_t); size < FILE_SIZE; size += size < 0x400 ? 1 : 61) {
        assert_int_equal(plan_make(&plan, size), ERR_INVALID);
        assert_non_null(strstr(why, "truncated"));
    }
    expect_refusal(0, ERR_INVALID, "empty");
}

static void test_identification(void **state)
{
    (void)state;
    file.header.e_ident[EI_CLASS] = ELFCLASS32;
    refuse(ERR_UNSUPPORTED, "32-bit ELF");
    file.header.e_ident[EI_CLASS] = 3;
    refuse(ERR_INVALID, "ELF class 3");
    setup(NULL);
    file.header.e_ident[EI_DATA] = 2;
    refuse(ERR_INVALID, "byte order 2");
    setup(NULL);
    file.header.e_ident[EI_VERSION] = 0;
    refuse(ERR_INVALID, "version 0");
    setup(NULL);
    file.header.e_machine = 183;
    refuse(ERR_UNSUPPORTED, "machine 183");
    setup(NULL);
    file.header.e_type = 3;
    refuse(ERR_UNSUPPORTED, "ELF type 3");
}

static void test_program_headers(void **state)
{
    (void)state;
    file.header.e_phnum = 0;
    refuse(ERR_INVALID, "no program headers");
    file.header.e_phnum = UINT16_MAX;
    refuse(ERR_INVALID, "65535 program headers");
    setup(NULL);
    file.header.e_phentsize = 32;
    refuse(ERR_INVALID, "program headers of 32 bytes");
    setup(NULL);
    file.header.e_phoff = UINT64_MAX - 10;
    refuse(ERR_INVALID, "truncated");
    file.header.e_phoff = FILE_SIZE - 56 * HEADERS + 1;
    refuse(ERR_INVALID, "truncated");
    setup(NULL);
    file.header.e_phnum = 1;
    refuse(ERR_INVALID, "no segment to load");
    setup(NULL);
    file.program[0].p_type = PT_INTERP;
    refuse(ERR_UNSUPPORTED, "dynamic linker");
}

static void test_segment_in_file(void **state)
{
    (void)state;
    file.program[2].p_offset = 0x2001;
    refuse(ERR_INVALID, "segment 2 takes 0x1000 bytes at 0x2001");
    file.program[2].p_offset = UINT64_MAX;
    refuse(ERR_INVALID, "truncated");
    setup(NULL);
    file.program[2].p_filesz = UINT64_MAX - 0x1fff; /* offset + size overflows to 1 */
    refuse(ERR_INVALID, "truncated");
    setup(NULL);
    file.program[1].p_filesz = 0x1001;
    refuse(ERR_INVALID, "segment 1 has 0x1001 bytes in the file, but only 0x1000 in memory");
    setup(NULL);
    file.program[1].p_memsz = 0; /* with bytes in the file */
    refuse(ERR_INVALID, "only 0x0 in memory");
}

static void test_segment_in_memory(void **state)
{
    struct image_plan plan;

    (void)state;
    file.program[2].p_memsz = MEMORY - 0x100000;
    assert_int_equal(plan_make(&plan, FILE_SIZE), OK);
    file.program[2].p_memsz++;
    refuse(ERR_RANGE, "segment 2 reaches 0x2000001, beyond the guest's 32 MiB");
    file.program[2].p_memsz = UINT64_MAX - 0xfffff;
    refuse(ERR_RANGE, "beyond the last address");
    setup(NULL);
    file.program[2].p_paddr = UINT64_MAX - 0x2fffff; /* ends at 2^64 - 0, just no overflow */
    refuse(ERR_RANGE, "beyond");
    file.program[2].p_paddr = UINT64_MAX;
    refuse(ERR_RANGE, "beyond the last address");
}

/* 7000h..7FFFh belongs to the pod: to its last byte, and not a byte more. */
static void test_command_line_page(void **state)
{
    struct image_plan plan;

    (void)state;
    file.program[2].p_memsz = 0x1000;
    file.program[2].p_paddr = 0x6000;
    assert_int_equal(plan_make(&plan, FILE_SIZE), OK);
    file.program[2].p_paddr = 0x6001;
    refuse(ERR_RANGE, "segment 2 (0x6001 to 0x7000) touches the command line's page");
    file.program[2].p_paddr = 0x7fff;
    refuse(ERR_RANGE, "touches the command line's page");
    file.program[2].p_paddr = 0;
    file.program[2].p_memsz = 0x8000;
    refuse(ERR_RANGE, "touches the command line's page");
    file.program[2].p_memsz = 0x7000;
    assert_int_equal(plan_make(&plan, FILE_SIZE), OK);
}

static void test_overlap(void **state)
{
    struct image_plan plan;

    (void)state;
    file.program[2].p_memsz = 0x1000;
    file.program[2].p_paddr = 0x8fff;
    refuse(ERR_INVALID, "segments 1 and 2 overlap at 0x8fff");
    file.program[2].p_paddr = 0x8000;
    refuse(ERR_INVALID, "segments 1 and 2 overlap at 0x8000");
    file.program[2].p_paddr = 0x9000;
    assert_int_equal(plan_make(&plan, FILE_SIZE), OK);
}

static void test_entry(void **state)
{
    (void)state;
    file.header.e_entry = 0x100000;
    refuse(ERR_INVALID, "the entry 0x100000 is not below 1 MiB");
    file.header.e_entry = UINT64_MAX;
    refuse(ERR_INVALID, "not below 1 MiB");
    file.header.e_entry = 0x9000;
    refuse(ERR_INVALID, "the entry 0x9000 is in no segment");
    file.header.e_entry = 0;
    refuse(ERR_INVALID, "in no segment");
}

static void test_too_many_segments(void **state)
{
    struct image_plan plan;

    (void)state;
    for (unsigned i = 0; i < IMAGE_SEGMENTS_MAX + 1; i++)
        file.program[i] =
            (struct elf64_program_header){ PT_LOAD, 0, 0x1000, 0, 0x8000 + 0x100 * i, 0x100, 0x100, 1 };
    file.header.e_phnum = IMAGE_SEGMENTS_MAX;
    assert_int_equal(plan_make(&plan, FILE_SIZE), OK);
    assert_int_equal(plan.segment_count, IMAGE_SEGMENTS_MAX);
    file.header.e_phnum = IMAGE_SEGMENTS_MAX + 1;
    refuse(ERR_UNSUPPORTED, "more than 16 segments");
    file.program[3].p_filesz = file.program[3].p_memsz = 0; /* an empty one does not count */
    assert_int_equal(plan_make(&plan, FILE_SIZE), OK);
}

/* ---- flat ---- */

static void test_flat(void **state)
{
    struct image_plan plan;

    (void)state;
    memset(&file, 0x90, sizeof(file));
    assert_int_equal(plan_make(&plan, FILE_SIZE), OK);
    assert_int_equal(plan.entry, IMAGE_FLAT_BASE);
    assert_int_equal(plan.segment_count, 1);
    assert_int_equal(plan.segments[0].gpa, IMAGE_FLAT_BASE);
    assert_int_equal(plan.segments[0].file_size, FILE_SIZE);
    assert_int_equal(plan.segments[0].memory_size, FILE_SIZE);
    assert_int_equal(plan_make(&plan, 1), OK);
}

static void test_flat_size(void **state)
{
    const uint64_t largest = IMAGE_FLAT_END - IMAGE_FLAT_BASE;
    uint8_t *image = calloc(1, largest + 1);
    struct image_plan plan;

    (void)state;
    assert_non_null(image);
    assert_int_equal(plan_bytes(&plan, image, largest, MEMORY, why, sizeof(why)), OK);
    assert_int_equal(plan_bytes(&plan, image, largest + 1, MEMORY, why, sizeof(why)), ERR_RANGE);
    assert_non_null(strstr(why, "beyond 0xa0000"));
    assert_int_equal(plan_bytes(&plan, image, 0x9000, 0x10000, why, sizeof(why)), ERR_RANGE);
    free(image);
}

/* What is plainly something else is not run as machine code. */
static void test_not_flat(void **state)
{
    (void)state;
    memset(&file, 0, sizeof(file));
    memcpy(&file, "MZ", 2);
    refuse(ERR_UNSUPPORTED, "EFI");
    memcpy(&file, "\x1f\x8b", 2);
    refuse(ERR_UNSUPPORTED, "gzip");
    memcpy(&file, "070701", 6);
    refuse(ERR_UNSUPPORTED, "cpio");
}

/* An initrd is for kernels that know what to do with it. */
static void test_initrd(void **state)
{
    const struct image_request request = { .image = &file, .image_size = FILE_SIZE, .initrd = "", .initrd_size = 1,
                                           .name = "image", .cmdline = "", .memory_bytes = MEMORY };
    struct image_plan plan;

    (void)state;
    assert_int_equal(image_plan_make(&plan, &request, why, sizeof(why)), ERR_UNSUPPORTED);
    assert_non_null(strstr(why, "an initrd goes with a Linux"));
}

/* The page of guests/ABI.md. */
static void test_boot_page(void **state)
{
    const struct image_request request = { .image = &file, .image_size = FILE_SIZE, .name = "image",
                                           .cmdline = "hz=20", .memory_bytes = MEMORY };
    uint8_t page[IMAGE_BOOT_PAGE_SIZE];
    uint64_t memory;
    struct image_plan plan;

    (void)state;
    assert_int_equal(image_plan_make(&plan, &request, why, sizeof(why)), OK);
    assert_int_equal(plan.boot.gpa, GUEST_CMDLINE_PAGE);
    assert_int_equal(plan.boot.count, 1);
    image_boot_page(&plan, &request, 0, page);
    assert_string_equal((char *)page, "hz=20");
    memcpy(&memory, page + GUEST_MEMORY_SIZE_GPA - GUEST_CMDLINE_PAGE, sizeof(memory));
    assert_int_equal(memory, MEMORY);
}

static void test_long_cmdline(void **state)
{
    char line[257] = "";
    const struct image_request request = { .image = &file, .image_size = FILE_SIZE, .name = "image",
                                           .cmdline = line, .memory_bytes = MEMORY };
    struct image_plan plan;

    (void)state;
    memset(line, 'x', 255);
    assert_int_equal(image_plan_make(&plan, &request, why, sizeof(why)), OK);
    line[255] = 'x';
    assert_int_equal(image_plan_make(&plan, &request, why, sizeof(why)), ERR_RANGE);
    assert_non_null(strstr(why, "command line is too long: 256 characters, and this image takes 255"));
}

/* The sentence is cut, not overrun. */
static void test_small_why(void **state)
{
    struct image_plan plan;
    char small[8];

    (void)state;
    memset(small, 'x', sizeof(small));
    file.header.e_machine = 3;
    assert_int_equal(plan_bytes(&plan, &file, FILE_SIZE, MEMORY, small, sizeof(small) - 1),
                     ERR_UNSUPPORTED);
    assert_int_equal(small[sizeof(small) - 2], '\0');
    assert_int_equal(small[sizeof(small) - 1], 'x');
}

#define T(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_good),
        T(test_truncated),
        T(test_identification),
        T(test_program_headers),
        T(test_segment_in_file),
        T(test_segment_in_memory),
        T(test_command_line_page),
        T(test_overlap),
        T(test_entry),
        T(test_too_many_segments),
        T(test_flat),
        T(test_flat_size),
        T(test_not_flat),
        T(test_initrd),
        T(test_boot_page),
        T(test_long_cmdline),
        T(test_small_why),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
