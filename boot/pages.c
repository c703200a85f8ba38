/* LOADER memory, with a list of what was taken. */
#include <efi.h>
#include <efilib.h>
#include "boot/pages.h"
#include "boot/boot_info.h"
#include "kernel/lib/util.h"

/* The files, and: boot_info, kernel, page tables, stack, memory map, with a few to spare. */
#define RUNS_MAX (BOOT_FILES_MAX + 8)

static struct run { uint64_t base; UINTN pages; } runs[RUNS_MAX]; /* pages 0: a free entry */

enum err pages_alloc(uint64_t size, uint64_t *base)
{
    EFI_PHYSICAL_ADDRESS address = 0;
    struct run *run = runs;

    while (run < runs + RUNS_MAX && run->pages != 0)
        run++;
    if (run == runs + RUNS_MAX)
        return ERR_NO_MEMORY;
    run->pages = EFI_SIZE_TO_PAGES(size);
    if (EFI_ERROR(BS->AllocatePages(AllocateAnyPages, EfiLoaderData, run->pages, &address))) {
        run->pages = 0;
        return ERR_NO_MEMORY;
    }
    *base = run->base = address;
    return OK;
}

static void run_free(struct run *run)
{
    BS->FreePages(run->base, run->pages);
    run->pages = 0;
}

void pages_free(uint64_t base)
{
    for (struct run *run = runs; run < runs + RUNS_MAX; run++) {
        if (run->pages != 0 && run->base == base)
            run_free(run);
    }
}

void pages_free_all(void)
{
    for (struct run *run = runs; run < runs + RUNS_MAX; run++) {
        if (run->pages != 0)
            run_free(run);
    }
}
