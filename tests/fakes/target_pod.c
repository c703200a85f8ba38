/* See target_pod.h. One object with the room under test, so that its allocations are counted and its tables can be cleared. */
#include "tests/fakes/machine_image.h"
#include "tests/fakes/target_pod.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <sanitizer/common_interface_defs.h>
#include "kernel/lib/crc32c.h"
#include "kernel/lib/util.h"
#include "vmx/cpuid.h"
#include "vmx/policy.h"
#include "net/teleport/guest_message.h"
#include "vmx/vm_image.h"

/* ---- what the room takes from the heap, counted ------------------------------------------------------------------- */

static uint32_t live_blocks;
uint32_t pod_fail_after = UINT32_MAX;

static bool heap_is_empty(void)
{
    if (pod_fail_after == UINT32_MAX)
        return false;
    return !pod_fail_after || !pod_fail_after--;
}

static void *counted_calloc(size_t count, size_t size)
{
    void *block = heap_is_empty() ? NULL : calloc(count, size);
    live_blocks += block != NULL;
    return block;
}

static void *counted_malloc(size_t size)
{
    void *block = heap_is_empty() ? NULL : malloc(size);
    live_blocks += block != NULL;
    return block;
}

static void counted_free(void *block)
{
    live_blocks -= block != NULL;
    free(block);
}

#define calloc counted_calloc
#define malloc counted_malloc
#define free counted_free
#include "net/teleport/channel.c"
#include "net/teleport/identity.c"
#include "net/teleport/incoming.c"
#include "net/teleport/listener.c"
#include "net/teleport/target.c"
#undef calloc
#undef malloc
#undef free

#define HZ NS_PER_S                       /* a tick is a nanosecond */
#define STACK_BYTES (256 * 1024)
#define THREADS 16
#define FILLS_WITHOUT_YIELD 128           /* frames that may be written before others get the CPU */

bool pod_many_cpus;
struct link links[POD_LINKS];
static uint64_t now;

static void promise(bool kept, const char *what)
{
    if (kept)
        return;
    fprintf(stderr, "broken promise: %s\n", what);
    abort();
}

/* ---- the rest of the pod ------------------------------------------------------------------------------------------ */

#include "tests/fakes/target_threads.c"
#include "tests/fakes/target_streams.c"
#include "tests/fakes/target_machines.c"
#include "tests/fakes/target_source.c"

/* ---- life --------------------------------------------------------------------------------------------------------- */

void pod_boot(void)
{
    static const struct pod_config config = { .name = "target" };
    memset(incomings, 0, sizeof incomings);
    memset(history, 0, sizeof history);
    memset(threads, 0, sizeof threads);
    memset(links, 0, sizeof links);
    history_next = story_count = session_count = accepting_count = all_frames_count = fills = 0;
    acceptor = current = NULL;
    pod_fail_after = UINT32_MAX;
    pod_many_cpus = false;
    now = NS_PER_S;
    promise(teleport_listen(&config) == OK, "a pod listens");
    pod_run();
}

void pod_shut(void)
{
    pod_fail_after = UINT32_MAX;
    pod_run();
    for (uint32_t i = 0; i < POD_LINKS; i++)
        pod_hang_up(i);
    pod_run();
    pod_pass(61);
    for (uint32_t i = 0; i < INCOMING_MAX; i++)
        promise(!incomings[i].used, "a target that was left alone frees all that it took");
    for (uint32_t i = 0; i < VM_SLOTS; i++)
        if (machines[i].vm)
            promise(machines[i].vm->state != VM_INCOMING && pod_stop_guest(machines[i].vm->name), "an operator can stop what is left");
    pod_run();
    promise(!session_count && !live_streams, "connections end");
    promise(!live_blocks, "no memory is left taken");
    promise(!pod_guest_count(), "no machine is left");
    while (all_frames_count)
        free(all_frames[--all_frames_count]);
}
