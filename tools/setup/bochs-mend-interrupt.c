/*
 * bochs-mend-interrupt.c: loaded into every Bochs that we start, beside bochs-mend.c; guarantees that a virtual
 * interrupt (APIC virtualization, virtual-interrupt delivery) comes to a guest only while its interrupts are on.
 *
 * Bochs keeps which events are pending and which are masked in two words. While the guest's IF is 0, its virtual
 * interrupts are masked, and the host's interrupts are not, since they exit. When one of those comes, Bochs's
 * HandleExtInterrupt() (cpu/event.cc) asks whether a virtual interrupt is pending, forgets to ask whether it is masked,
 * and delivers it: into a section with interrupts off. Linux then waits for ever for a spin lock that the interrupted
 * code holds.
 *
 * The test in that function's code is replaced by a jump to a right one. The instructions are recognized byte for
 * byte, and where the two words are is confirmed by another function; otherwise nothing is touched.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bochs-mend.h"

#define HANDLER_SYMBOL "_ZN8BX_CPU_C18HandleExtInterruptEv"
#define EVALUATE_SYMBOL "_ZN8BX_CPU_C39VMX_Evaluate_Pending_Virtual_InterruptsEv"
#define CODE_BYTES 256                  /* of each function, from its beginning */
#define VIRTUAL_INTERRUPT 0x200u        /* BX_EVENT_PENDING_VMX_VIRTUAL_INTR */

/* testb $2, pending+1(%rbx); jne rel32 */
#define TEST_BYTES 7
#define SITE_BYTES (TEST_BYTES + 6)

static uint32_t u32_at(const unsigned char *code)
{
    uint32_t value;

    memcpy(&value, code, sizeof(value));
    return value;
}

static int is_test_byte(const unsigned char *code, uint32_t displacement)
{
    return code[0] == 0xf6 && code[1] == 0x83 && u32_at(code + 2) == displacement && code[6] == VIRTUAL_INTERRUPT >> 8;
}

/* orl $0x200, pending(%rbx); testb $2, mask+1(%rbx): with mask the word after pending. Found once; 0: not so. */
static uint32_t find_pending(const unsigned char *code)
{
    uint32_t pending = 0;
    int found = 0;

    for (unsigned i = 0; i + 17 <= CODE_BYTES; i++)
        if (code[i] == 0x81 && code[i + 1] == 0x8b && u32_at(code + i + 6) == VIRTUAL_INTERRUPT &&
            is_test_byte(code + i + 10, u32_at(code + i + 2) + 5)) {
            pending = u32_at(code + i + 2);
            found++;
        }
    return found == 1 ? pending : 0;
}

static unsigned char *find_site(unsigned char *code, uint32_t pending)
{
    unsigned char *site = NULL;

    for (unsigned i = 0; i + SITE_BYTES <= CODE_BYTES; i++)
        if (is_test_byte(code + i, pending + 1) && code[i + 7] == 0x0f && code[i + 8] == 0x85) {
            if (site)
                return NULL;
            site = code + i;
        }
    return site;
}

static unsigned char *put(unsigned char *to, const void *bytes, size_t size)
{
    memcpy(to, bytes, size);
    return to + size;
}

/* movabs $target, %rax; jmp *%rax */
static unsigned char *put_jump(unsigned char *to, const void *target)
{
    to = put(to, "\x48\xb8", 2);
    to = put(to, &target, sizeof(target));
    return put(to, "\xff\xe0", 2);
}

#define JUMP_BYTES 12

/* In RAX and RCX, which hold nothing at that place: if (pending & ~mask & VIRTUAL_INTERRUPT) goto taken; goto not_taken; */
static void *write_test(uint32_t pending, const void *taken, const void *not_taken)
{
    const uint32_t mask = pending + 4, bit = VIRTUAL_INTERRUPT;
    const unsigned char over_jump = JUMP_BYTES;
    unsigned char *code = mmap(NULL, (size_t)sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    unsigned char *to = code;

    if (code == MAP_FAILED)
        return NULL;
    to = put(put(to, "\x8b\x83", 2), &pending, 4);      /* mov pending(%rbx), %eax */
    to = put(put(to, "\x8b\x8b", 2), &mask, 4);         /* mov mask(%rbx), %ecx */
    to = put(to, "\xf7\xd1\x21\xc8\xa9", 5);            /* not %ecx; and %ecx, %eax; test $bit, %eax */
    to = put(to, &bit, 4);
    to = put(put(to, "\x75", 1), &over_jump, 1);        /* jne over the next jump */
    put_jump(put_jump(to, not_taken), taken);
    return mprotect(code, (size_t)sysconf(_SC_PAGESIZE), PROT_READ | PROT_EXEC) ? NULL : code;
}

static int replace(unsigned char *site, const void *test)
{
    uintptr_t page_size = (uintptr_t)sysconf(_SC_PAGESIZE), first = (uintptr_t)site & ~(page_size - 1);

    if (mprotect((void *)first, 2 * page_size, PROT_READ | PROT_WRITE | PROT_EXEC))
        return 0;
    put(put_jump(site, test), "\x90", SITE_BYTES - JUMP_BYTES);
    return mprotect((void *)first, 2 * page_size, PROT_READ | PROT_EXEC) == 0;
}

const char *bochs_mend_interrupt(void)
{
    unsigned char *handler = dlsym(RTLD_DEFAULT, HANDLER_SYMBOL), *site;
    const unsigned char *evaluate = dlsym(RTLD_DEFAULT, EVALUATE_SYMBOL);
    uint32_t pending = evaluate ? find_pending(evaluate) : 0;
    int32_t distance;

    if (!handler || !pending || !(site = find_site(handler, pending)))
        return "unknown";
    memcpy(&distance, site + TEST_BYTES + 2, sizeof(distance));
    const void *test = write_test(pending, site + SITE_BYTES + distance, site + SITE_BYTES);
    return test && replace(site, test) ? "mended" : "unknown";
}
