/* See target_pod.h. One object with the room under test, so that its allocations are counted and its tables can be cleared. */
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
#include "vmx/state_codec.h"

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
#define FILLS_WITHOUT_YIELD 1024          /* frames that may be written before others get the CPU */
#define GUEST_ENTRY_DELAY 5000            /* ticks, on another CPU */

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

/* ---- threads ------------------------------------------------------------------------------------------------------ */

struct thread {
    ucontext_t context;
    void (*fn)(void *);
    void *arg;
    bool used, blocked;
    void *fake_stack;
};

static struct thread threads[THREADS];
static char stacks[THREADS][STACK_BYTES];
static struct thread *current;            /* NULL: the test */
static ucontext_t test_context;
static const void *test_stack;
static size_t test_stack_size;
static uint32_t fills;                    /* frames written since the last turn */

static void give_turn(bool for_ever)
{
    struct thread *self = current;
    fills = 0;
    __sanitizer_start_switch_fiber(for_ever ? NULL : &self->fake_stack, test_stack, test_stack_size);
    swapcontext(&self->context, &test_context);
    __sanitizer_finish_switch_fiber(self->fake_stack, &test_stack, &test_stack_size);
}

static void thread_body(void)
{
    __sanitizer_finish_switch_fiber(NULL, &test_stack, &test_stack_size);
    current->fn(current->arg);
    current->used = false;
    give_turn(true);
}

enum err thread_create(struct thread **out, const char *name, struct cpu *cpu, void (*fn)(void *), void *arg)
{
    (void)name;
    (void)cpu;
    promise(!out, "threads here are detached");
    if (heap_is_empty())
        return ERR_NO_MEMORY;
    uint32_t i = 0;
    while (i < THREADS && threads[i].used)
        i++;
    promise(i < THREADS, "no more threads than connections, a listener and an operator");
    threads[i] = (struct thread){ .fn = fn, .arg = arg, .used = true };
    getcontext(&threads[i].context);
    threads[i].context.uc_stack.ss_sp = stacks[i];
    threads[i].context.uc_stack.ss_size = STACK_BYTES;
    makecontext(&threads[i].context, thread_body, 0);
    return OK;
}

bool pod_step(uint32_t index)
{
    struct thread *thread = &threads[index % THREADS];
    void *fake_stack;
    if (!thread->used || thread->blocked)
        return false;
    current = thread;
    __sanitizer_start_switch_fiber(&fake_stack, stacks[thread - threads], STACK_BYTES);
    swapcontext(&test_context, &thread->context);
    __sanitizer_finish_switch_fiber(fake_stack, NULL, NULL);
    current = NULL;
    return true;
}

void pod_run(void)
{
    bool busy = true;
    while (busy) {
        busy = false;
        for (uint32_t i = 0; i < THREADS; i++)
            busy |= pod_step(i);
    }
}

void thread_yield(void)
{
    if (current)
        give_turn(false);
}

static void wait_for_test(void)
{
    promise(current, "only threads wait");
    current->blocked = true;
    give_turn(false);
}

void thread_sleep_until(uint64_t deadline)
{
    now = MAX(now, deadline);
    thread_yield();
}

/* A call to the CPU of a machine. */
static void other_cpu(void)
{
    if (pod_many_cpus)
        thread_yield();
}

/* ---- time, log ---------------------------------------------------------------------------------------------------- */

uint64_t time_now(void) { return now += 10; }
uint64_t time_tsc_hz(void) { return HZ; }
uint64_t time_from_us(uint64_t us) { return us * NS_PER_US; }
uint64_t time_to_ns(uint64_t ticks) { return ticks; }

static void log_text(const char *format, va_list args)
{
    char text[512];
    vsnprintf(text, sizeof text, format, args);
    for (const char *c = text; *c; c++)
        promise(*c >= ' ' && *c <= '~', "the log is printable");
}

void log_info(const char *room, const char *format, ...)
{
    va_list args;
    (void)room;
    va_start(args, format);
    log_text(format, args);
    va_end(args);
}

void log_error(const char *room, const char *format, ...)
{
    va_list args;
    (void)room;
    va_start(args, format);
    log_text(format, args);
    va_end(args);
}

/* ---- what became of each epoch ------------------------------------------------------------------------------------ */

#define EPOCHS_MAX 256
struct story {
    uint64_t boot_id, epoch;
    bool committed, ran, never;           /* never: the pod said that it never will */
};
static struct story stories[EPOCHS_MAX];
static uint32_t story_count;

static struct story *story_of(uint64_t boot_id, uint64_t epoch)
{
    for (uint32_t i = 0; i < story_count; i++)
        if (stories[i].boot_id == boot_id && stories[i].epoch == epoch)
            return &stories[i];
    promise(story_count < EPOCHS_MAX, "a test of few epochs");
    stories[story_count] = (struct story){ .boot_id = boot_id, .epoch = epoch };
    return &stories[story_count++];
}

/* ---- streams ------------------------------------------------------------------------------------------------------ */

struct stream {
    struct link *link;
    uint8_t *bytes;                       /* from the source */
    size_t size, at;
    bool peer_closed, timed_out;
    uint32_t sequence;                    /* of the pod's records */
    struct thread *waiter;
};

static struct stream *accepting[POD_LINKS];
static uint32_t accepting_count;
static struct thread *acceptor;
static uint32_t live_streams;

static void wake(struct thread **waiter)
{
    if (*waiter)
        (*waiter)->blocked = false;
    *waiter = NULL;
}

enum err stream_listen(struct stream_listener **out, uint16_t port)
{
    (void)port;
    *out = (struct stream_listener *)&accepting_count;
    return OK;
}
void stream_listener_close(struct stream_listener *listener) { (void)listener; }

enum err stream_accept(struct stream_listener *listener, struct stream **out, uint64_t deadline)
{
    (void)listener;
    (void)deadline;
    if (!accepting_count) {
        acceptor = current;
        wait_for_test();
    }
    if (!accepting_count)
        return ERR_TIMEOUT;
    *out = accepting[0];
    memmove(accepting, accepting + 1, --accepting_count * sizeof accepting[0]);
    return OK;
}

static void take_answer(struct link *link, uint16_t type, const uint8_t *payload, uint32_t length)
{
    char why[TEXT_MAX];
    struct msg_text text;
    link->answers++;
    link->last = type;
    if (type == RECORD_STATUS) {
        promise(!message_decode(type, &link->status, payload, length, why, sizeof why), "STATUS decodes");
        struct story *story = story_of(link->boot_id, link->status.epoch);
        promise(link->status.status != STATUS_RUNNING || story->ran, "RUNNING is said of what ran");
        promise(link->status.status != STATUS_DISCARDED || !story->ran, "DISCARDED is said of what never ran");
        promise(link->status.status != STATUS_WAITING || !story->never, "DISCARDED is final");
        story->never |= link->status.status == STATUS_DISCARDED;
    } else if (type == RECORD_RUNNING) {
        promise(!message_decode(type, &link->running, payload, length, why, sizeof why), "RUNNING decodes");
        promise(story_of(link->boot_id, link->running.epoch)->ran, "RUNNING is said of what ran");
    } else if (type == RECORD_AUDIT_RESULT) {
        promise(!message_decode(type, &link->audit, payload, length, why, sizeof why), "AUDIT_RESULT decodes");
    } else if (type == RECORD_REFUSE || type == RECORD_ABORT) {
        promise(!message_decode(type, &text, payload, length, why, sizeof why), "REFUSE and ABORT decode");
        promise(text.text[0] != '\0', "a refusal has words");
        snprintf(link->words, sizeof link->words, "%s", text.text);
    }
}

/* A channel hands over whole records. */
enum err stream_write(struct stream *stream, const void *data, size_t size, bool push, uint64_t deadline)
{
    (void)push;
    (void)deadline;
    other_cpu();
    if (stream->peer_closed)
        return ERR_CLOSED;
    for (const uint8_t *at = data, *end = at + size; at < end;) {
        struct record_header h;
        char why[TEXT_MAX];
        promise(!record_header_get(at, stream->sequence++, &h, why, sizeof why), "the pod sends whole records");
        promise(!record_check(at, crc32c_update(0, at + RECORD_HEADER_SIZE, h.length), why, sizeof why), "with their CRC");
        take_answer(stream->link, h.type, at + RECORD_HEADER_SIZE, h.length);
        at += RECORD_HEADER_SIZE + h.length;
    }
    return OK;
}

enum err stream_read(struct stream *stream, void *buffer, size_t size, uint64_t deadline)
{
    (void)deadline;
    while (stream->size - stream->at < size) {
        if (stream->peer_closed)
            return ERR_CLOSED;
        if (stream->timed_out)
            return ERR_TIMEOUT;
        stream->waiter = current;
        wait_for_test();
    }
    memcpy(buffer, stream->bytes + stream->at, size);
    stream->at += size;
    return OK;
}

enum err stream_drain(struct stream *stream, uint64_t deadline)
{
    (void)deadline;
    thread_yield();
    return stream->peer_closed ? ERR_CLOSED : OK;
}

bool stream_is_dead(const struct stream *stream) { return stream->peer_closed; }

static void stream_free(struct stream *stream)
{
    if (!stream)
        return;
    stream->link->closed_by_pod = true;
    stream->link->stream = NULL;
    free(stream->bytes);
    free(stream);
    live_streams--;
}
void stream_close(struct stream *stream) { stream_free(stream); }
void stream_abort(struct stream *stream) { stream_free(stream); }

/* ---- machines ----------------------------------------------------------------------------------------------------- */

#define VM_SLOTS VMS_MAX
static struct machine {
    struct vm *vm;                        /* NULL: a free slot */
    bool visible;                         /* found by its name */
    bool ran;
    const uint8_t *frames;                /* of the link that brought it */
} machines[VM_SLOTS];

static struct machine *machine_of(const struct vm *vm)
{
    for (uint32_t i = 0; i < VM_SLOTS; i++)
        if (vm && machines[i].vm == vm)
            return &machines[i];
    promise(false, "a machine that is used is there");
    return NULL;
}

bool vmx_available(void) { return true; }
const char *vmx_unavailable_reason(void) { return ""; }

struct vm *vm_find(const char *name)
{
    for (uint32_t i = 0; i < VM_SLOTS; i++)
        if (machines[i].vm && machines[i].visible && !strcmp(machines[i].vm->name, name))
            return machines[i].vm;
    return NULL;
}

static struct machine *reserve_name(const char *name)
{
    struct machine *free_slot_found = NULL;
    for (uint32_t i = 0; i < VM_SLOTS; i++) {
        if (!machines[i].vm)
            free_slot_found = &machines[i];
        else if (!strcmp(machines[i].vm->name, name))
            return NULL;
    }
    return free_slot_found;
}

static const uint8_t *frames_of_caller(void)
{
    for (uint32_t i = 0; i < POD_LINKS; i++)
        if (links[i].stream && current && current->arg == links[i].stream)
            return links[i].frames;
    return NULL;
}

enum err vm_create_incoming(struct vm **out, const struct guest_config *config)
{
    struct machine *m = reserve_name(config->name);
    struct vm *vm = m && !heap_is_empty() ? calloc(1, sizeof *vm) : NULL;
    if (!vm)
        return m ? ERR_NO_MEMORY : ERR_EXISTS;
    *m = (struct machine){ .vm = vm, .frames = frames_of_caller() };
    vm->config = *config;
    snprintf(vm->name, sizeof vm->name, "%s", config->name);
    vm->state = VM_INCOMING;
    vm->memory.size = config->memory_bytes;
    vm->memory.large_pages = calloc(1, config->memory_bytes);
    vm->guest_tsc_hz = HZ;
    other_cpu();
    other_cpu();
    m->visible = true;
    *out = vm;
    return OK;
}

enum err vm_destroy(struct vm *vm)
{
    struct machine *m = machine_of(vm);
    if (vm->teleporting && vm->state != VM_MOVED && vm->state != VM_INCOMING)
        return ERR_BUSY;
    promise(m->visible, "a machine is destroyed once");
    m->visible = false;
    other_cpu();
    other_cpu();
    free(vm->memory.large_pages);
    free(vm);
    *m = (struct machine){ 0 };
    return OK;
}

/* What a guest finds when it enters for the first time on this pod. */
static void check_first_entry(struct machine *m)
{
    const struct incoming *in = incomings;
    while (in < incomings + INCOMING_MAX && !(in->used && in->vm == m->vm))
        in++;
    promise(in < incomings + INCOMING_MAX, "a guest that enters for the first time came with a teleport");
    struct story *story = story_of(in->source_boot_id, in->epoch);
    promise(story->committed, "no guest runs before COMMIT");
    promise(!story->never, "no guest runs of which DISCARDED was said");
    promise(!story->ran, "an epoch runs once");
    story->ran = m->ran = true;
    promise(m->frames != NULL, "its source is known");
    const uint8_t *bytes = (const uint8_t *)m->vm->memory.large_pages;
    for (uint64_t f = 0; f < m->vm->memory.size / PAGE_SIZE; f++)
        promise(bytes[f * PAGE_SIZE] == m->frames[f] && bytes[f * PAGE_SIZE + PAGE_SIZE - 1] == m->frames[f],
                "the memory is what its source sent");
}

enum err vm_resume(struct vm *vm)
{
    struct machine *m = machine_of(vm);
    other_cpu();
    machine_of(vm);
    if (vm->state != VM_PAUSED)
        return ERR_STATE;
    if (!m->ran)
        check_first_entry(m);
    vm->state = VM_RUNNING;
    vm->first_entry_tsc = pod_many_cpus ? 0 : time_now();
    other_cpu();
    if (machine_of(vm) && !vm->first_entry_tsc)
        vm->first_entry_tsc = now + GUEST_ENTRY_DELAY;
    return OK;
}

enum err vm_state_load(struct vm *vm, const void *buffer, size_t size, char *why, size_t why_size)
{
    struct vm_image *image = malloc(sizeof *image);
    enum err e = vm_image_decode(image, buffer, size, why, why_size);
    free(image);
    machine_of(vm);
    other_cpu();
    promise(machine_of(vm)->vm->state == VM_INCOMING, "state is loaded into a machine that comes in");
    return e;
}

void vm_set_guest_tsc(struct vm *vm, uint64_t guest_tsc, uint64_t host_tsc)
{
    (void)guest_tsc;
    (void)host_tsc;
    other_cpu();
    promise(machine_of(vm)->vm->state != VM_RUNNING, "the clock is set while the guest stands still");
}

/* A processor with all that a guest may ask for. */
static void read_cpuid(const void *context, uint32_t leaf, uint32_t subleaf, uint32_t out[CPUID_REGISTERS])
{
    static const uint32_t components[][2] = { [2] = { 256, 576 }, [5] = { 64, 1088 }, [6] = { 512, 1152 }, [7] = { 1024, 1664 } };
    (void)context;
    for (unsigned i = 0; i < CPUID_REGISTERS; i++)
        out[i] = UINT32_MAX;
    if (leaf == CPUID_LEAF_ADDRESS_SIZES)
        out[CPUID_EAX] = 39 | 48 << 8;
    if (leaf == CPUID_LEAF_XSAVE && subleaf >= 2) {
        out[CPUID_EAX] = subleaf < ARRAY_SIZE(components) ? components[subleaf][0] : 0;
        out[CPUID_EBX] = subleaf < ARRAY_SIZE(components) ? components[subleaf][1] : 0;
        out[CPUID_ECX] = 0;
    }
}

static const struct vm_policy *host_policy(void)
{
    static struct vm_policy policy;
    const struct cpuid_source source = { read_cpuid, NULL };
    const struct cpuid_constraints constraints = { HZ, true, true };
    if (!policy.version)
        cpuid_policy_build(&policy, &source, &constraints);
    return &policy;
}

enum err vm_policy_check(const struct vm_policy *policy, char *why, size_t why_size)
{
    return policy_compatible(policy, host_policy(), false, why, why_size);
}

enum err vm_policy_apply(struct vm *vm, const struct vm_policy *policy)
{
    machine_of(vm)->vm->guest_tsc_hz = policy->tsc_hz;
    other_cpu();
    promise(machine_of(vm)->vm->state == VM_INCOMING, "the policy is applied to a machine that comes in");
    return OK;
}

uint64_t guest_memory_missing_mib(uint64_t size)
{
    return size > POD_FRAMES_MAX * PAGE_SIZE ? size / MIB : 0;
}

const void *guest_memory_frame(const struct guest_memory *memory, struct gfn gfn)
{
    promise(gfn.raw < guest_memory_frames(memory), "frames are read inside of the memory");
    return (const uint8_t *)memory->large_pages + gfn.raw * PAGE_SIZE;
}

enum err guest_memory_fill_frame(struct guest_memory *memory, struct gfn gfn, const void *data)
{
    if (gfn.raw >= guest_memory_frames(memory))
        return ERR_RANGE;
    promise(++fills <= FILLS_WITHOUT_YIELD, "a record does not hold the CPU for long");
    uint8_t *to = (uint8_t *)memory->large_pages + gfn.raw * PAGE_SIZE;
    if (data)
        memcpy(to, data, PAGE_SIZE);
    else
        memset(to, 0, PAGE_SIZE);
    return OK;
}

/* ---- the source's end --------------------------------------------------------------------------------------------- */

void pod_connect(uint32_t index, uint64_t boot_id)
{
    struct link *link = &links[index];
    promise(!link->stream, "one connection at a time");
    uint8_t *frames = link->frames;
    *link = (struct link){ .boot_id = boot_id, .frames = frames };
    link->stream = calloc(1, sizeof *link->stream);
    link->stream->link = link;
    live_streams++;
    accepting[accepting_count++] = link->stream;
    wake(&acceptor);
}

void pod_send_bytes(uint32_t index, const void *bytes, size_t size)
{
    struct stream *stream = links[index].stream;
    if (!stream || stream->peer_closed)
        return;
    stream->bytes = realloc(stream->bytes, stream->size + size + 1);
    if (size)
        memcpy(stream->bytes + stream->size, bytes, size);
    stream->size += size;
    links[index].bytes += size;
    wake(&stream->waiter);
}

void pod_send(uint32_t index, uint16_t type, const void *payload, uint32_t length)
{
    uint8_t header[RECORD_HEADER_SIZE];
    struct link *link = &links[index];
    record_header_put(header, type, length, link->sequence++, crc32c_update(0, payload, length));
    link->digest = crc32c_update(link->digest, header + RECORD_HEADER_SIZE - 4, 4);
    pod_send_bytes(index, header, sizeof header);
    pod_send_bytes(index, payload, length);
}

void pod_send_message(uint32_t index, uint16_t type, const void *message)
{
    uint8_t wire[MESSAGE_WIRE_MAX];
    uint32_t length = message_encode(type, message, wire);
    pod_send(index, type, wire, length);
}

void pod_hang_up(uint32_t index)
{
    struct stream *stream = links[index].stream;
    if (!stream)
        return;
    stream->peer_closed = true;
    wake(&stream->waiter);
}

void pod_time_out(uint32_t index)
{
    struct stream *stream = links[index].stream;
    if (!stream)
        return;
    stream->timed_out = true;
    wake(&stream->waiter);
}

void pod_send_hello(uint32_t index)
{
    const struct msg_hello hello = { .magic = WIRE_MAGIC, .version = WIRE_VERSION, .version_oldest = WIRE_VERSION_OLDEST,
                                     .boot_id = links[index].boot_id, .tsc_hz = HZ, .pod = "source" };
    pod_send_message(index, RECORD_HELLO, &hello);
}

void pod_guest(struct msg_guest *out, uint64_t epoch, const char *name, uint64_t memory_bytes)
{
    *out = (struct msg_guest){ .epoch = epoch, .memory_bytes = memory_bytes, .vcpus = 1, .range_count = 1,
                               .range_size = { memory_bytes }, .policy = *host_policy() };
    snprintf(out->name, sizeof out->name, "%s", name);
}

/* The machine keeps looking at the frames of the link that brought it: the next guest of the link gets new ones. */
static uint8_t *all_frames[EPOCHS_MAX];
static uint32_t all_frames_count;

void pod_send_guest(uint32_t index, const struct msg_guest *guest)
{
    if (!links[index].guest_sent && links[index].stream) {
        promise(all_frames_count < EPOCHS_MAX, "a test of few guests");
        links[index].frames = all_frames[all_frames_count++] = calloc(1, POD_FRAMES_MAX);
    }
    links[index].guest_sent = true;
    pod_send_message(index, RECORD_GUEST, guest);
}

/* What is sent after PREPARE is no part of the guest any more. */
static void note(struct link *link, uint64_t frame, uint8_t byte)
{
    link->pages++;
    if (link->guest_sent && !link->prepare_sent && link->frames && frame < POD_FRAMES_MAX)
        link->frames[frame] = byte;
}

void pod_send_page(uint32_t index, uint64_t frame, uint8_t byte)
{
    uint8_t payload[PAGE_RECORD_PAYLOAD];
    memset(payload, byte, PAGE_SIZE);
    wire_put_u64(payload + PAGE_RECORD_GFN_AT, frame);
    note(&links[index], frame, byte);
    pod_send(index, RECORD_PAGE, payload, sizeof payload);
}

void pod_send_zero(uint32_t index, const struct frame_run *runs, uint32_t count)
{
    static uint8_t payload[RECORD_PAYLOAD_MAX];
    for (uint32_t i = 0; i < count; i++) {
        frame_run_put(payload + FRAME_RUN_SIZE * i, runs[i]);
        for (uint64_t f = 0; f < MIN(runs[i].count, (uint64_t)POD_FRAMES_MAX); f++)
            note(&links[index], runs[i].first + f, 0);
    }
    pod_send(index, RECORD_ZERO, payload, count * FRAME_RUN_SIZE);
}

void pod_send_round_begin(uint32_t index, uint32_t round, uint64_t pages)
{
    const struct msg_round m = { .round = round, .pages = pages };
    links[index].round_start = links[index].bytes;
    links[index].pages = 0;
    pod_send_message(index, RECORD_ROUND_BEGIN, &m);
}

void pod_send_round_end(uint32_t index, uint32_t round)
{
    struct link *link = &links[index];
    const struct msg_round m = { .round = round, .pages = link->pages, .bytes = link->bytes - link->round_start };
    pod_send_message(index, RECORD_ROUND_END, &m);
}

void pod_send_state(uint32_t index)
{
    struct vm_image *image = calloc(1, sizeof *image);
    uint8_t *bytes = malloc(vm_image_size());
    size_t used = 0;
    vcpu_state_reset(&image->vcpu, 0x8000);
    lapic_reset(&image->lapic, 0, true);
    uart_reset(&image->uart);
    image->clock = (struct state_clock){ 1000, HZ };
    promise(!vm_image_encode(image, bytes, vm_image_size(), &used), "a state encodes");
    pod_send(index, RECORD_STATE, bytes, (uint32_t)used);
    free(bytes);
    free(image);
}

void pod_send_prepare(uint32_t index, uint64_t epoch)
{
    const struct msg_prepare m = { .epoch = epoch, .digest = links[index].digest, .pause_ns = now, .guest_tsc = 1000 };
    links[index].prepare_sent = true;
    pod_send_message(index, RECORD_PREPARE, &m);
}

void pod_send_epoch(uint32_t index, uint16_t type, uint64_t epoch)
{
    const struct msg_commit m = { epoch };
    if (type == RECORD_COMMIT && links[index].stream && !links[index].stream->peer_closed)
        story_of(links[index].boot_id, epoch)->committed = true;
    pod_send_message(index, type, &m);
}

void pod_send_abort(uint32_t index, uint64_t epoch)
{
    const struct msg_text m = { .epoch = epoch, .text = "only a test" };
    pod_send_message(index, RECORD_ABORT, &m);
}

void pod_send_audit(uint32_t index, uint64_t first, uint64_t count)
{
    static uint8_t payload[FRAME_RUN_SIZE + 4 * AUDIT_FRAMES_MAX + 8];
    uint8_t page[PAGE_SIZE];
    memset(payload, 0, sizeof payload);
    frame_run_put(payload, (struct frame_run){ first, count });
    for (uint64_t i = 0; i < MIN(count, (uint64_t)AUDIT_FRAMES_MAX) && first + i < POD_FRAMES_MAX && links[index].frames; i++) {
        memset(page, links[index].frames[first + i], sizeof page);
        audit_crc_put(payload, i, crc32c_update(0, page, sizeof page));
    }
    pod_send(index, RECORD_AUDIT, payload, audit_payload_size(MIN(count, (uint64_t)AUDIT_FRAMES_MAX)));
}

/* ---- the operator ------------------------------------------------------------------------------------------------- */

static void destroy_thread(void *vm) { vm_destroy(vm); }
static void resume_thread(void *vm) { vm_resume(vm); }

/* net/control: is_taken */
static struct vm *commandable(const char *name)
{
    struct vm *vm = vm_find(name);
    return !vm || vm->teleporting || vm->state == VM_INCOMING || vm->state == VM_MOVED ? NULL : vm;
}

bool pod_stop_guest(const char *name)
{
    struct vm *vm = commandable(name);
    return vm && !thread_create(NULL, "stop", NULL, destroy_thread, vm);
}

bool pod_resume_guest(const char *name)
{
    struct vm *vm = commandable(name);
    if (!vm || vm->state != VM_PAUSED)
        return false;
    return !thread_create(NULL, "resume", NULL, resume_thread, vm);
}

bool pod_has_guest(const char *name, bool running)
{
    const struct vm *vm = vm_find(name);
    return vm && (vm->state == VM_RUNNING) == running;
}

uint32_t pod_guest_count(void)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < VM_SLOTS; i++)
        count += machines[i].vm != NULL;
    return count;
}

void pod_pass(uint64_t seconds)
{
    now += seconds * NS_PER_S;
    wake(&acceptor);
    pod_run();
}

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
