/*
 * A pod of fakes under the command interpreter: guests, network, time and consoles are small models in this file, and replies
 * are compared as text. The rooms below the interpreter have their own tests. For cmocka programs, which include it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define PAGE_DIRECT_MAP 0
/* One object, so that the fakes stand for all the rooms below without a linker's help. */
#include "net/control/session.c"
#include "net/control/control.c"
#include "net/control/guest_commands.c"
#include "net/control/departure.c"
#include "net/control/start_command.c"
#include "net/control/image_store.c"
#include "net/control/image_commands.c"
#include "net/control/teleport_command.c"
#define tell_output attached_tell_output   /* each command has one of its own */
#define pass_input attached_pass_input
#undef CHUNK
#undef POLL_MS
#include "net/control/attach_command.c"
#undef tell_output
#undef pass_input
#undef CHUNK
#undef POLL_MS
#include "net/control/console_command.c"
#include "net/control/stats_command.c"
#include "net/control/pod_commands.c"

/* ---- fakes -------------------------------------------------------------------------------------------------------- */

static char said[1 << 20];                 /* all that a session wrote, and the log */
static size_t said_size;
static uint64_t now;                       /* TSC at 1 MHz */
static struct vm vms[VMS_MAX];
static bool present[VMS_MAX], vmx_on, powered_off;
static struct boot_info info;
static struct cpu one_cpu;
static struct vcpu one_vcpu = { .cpu = &one_cpu };
static enum err create_result, teleport_result, write_result;
static bool forced, forced_here;
static size_t backlog;                     /* unacknowledged bytes of the stream */
static const char *typed_by_client;        /* bytes that the stream will give */
static struct teleport_options last_options;
static char guest_input[4096];
static uint64_t free_pages, given_back, given_back_size;
static enum err map_result;
static char taken_by_guest = 1;
static uint32_t uart_room = UINT32_MAX;    /* bytes that the guest takes at a time */

void console_write(const char *text, size_t size)
{
    assert_true(said_size + size < sizeof(said));
    memcpy(said + said_size, text, size);
    said_size += size;
    said[said_size] = '\0';
}
size_t console_read(char *buffer, size_t size) { (void)buffer; (void)size; return 0; }
void console_set_reader(struct thread *waiter) { (void)waiter; }
void console_flush(void) {}
uint32_t console_com2_taken(void) { return 77; }
void log_info(const char *room, const char *format, ...) { (void)room; (void)format; }
void log_error(const char *room, const char *format, ...) { (void)room; (void)format; }
size_t log_read(uint64_t *position, char *buffer, size_t size)
{
    static const char text[] = "[0.1] boot: one\n[0.2] boot: two\n";
    size_t count = *position < strlen(text) ? MIN(size, strlen(text) - *position) : 0;

    memcpy(buffer, text + MIN(*position, strlen(text)), count);
    *position += count;
    return count;
}

uint64_t time_now(void) { return now += 100; }
uint64_t time_from_us(uint64_t us) { return us; }
uint64_t time_to_us(uint64_t ticks) { return ticks; }
uint64_t time_tsc_hz(void) { return 1000000; }
const char *time_calibration_source(void) { return "a fake"; }

enum err thread_create(struct thread **out, const char *name, struct cpu *cpu, void (*fn)(void *), void *arg)
{
    (void)out; (void)name; (void)cpu; (void)fn; (void)arg;
    return ERR_NO_MEMORY;
}
struct thread *thread_current(void) { return NULL; }
void thread_yield(void) {}
void thread_block(void) { abort(); }
bool thread_block_until(uint64_t deadline) { now = MAX(now, deadline); return false; }
static void (*while_asleep)(void);         /* what the guest, or a teleport, does meanwhile */
void thread_sleep_until(uint64_t deadline)
{
    now = MAX(now, deadline);
    if (while_asleep)
        while_asleep();
}
uint64_t thread_live_count(void) { return 4; }

struct vm *vm_by_index(uint32_t index) { return present[index] ? &vms[index] : NULL; }
struct vm *vm_find(const char *name)
{
    for (uint32_t i = 0; i < VMS_MAX; i++)
        if (present[i] && !strcmp(vms[i].name, name))
            return &vms[i];
    return NULL;
}
bool vmx_available(void) { return vmx_on; }
const char *vmx_unavailable_reason(void) { return "this CPU has no VT-x"; }
const char *vm_state_name(enum vm_state state)
{
    static const char *const names[] = { "incoming", "paused", "running", "halted", "in doubt", "moved" };
    return names[state];
}
enum err vm_create(struct vm **out, const struct guest_config *config, const struct vm_files *files, char *why,
                   size_t why_size)
{
    uint32_t i = 0;

    assert_ptr_equal(files->image.bytes, (void *)(uintptr_t)info.files[0].base);
    assert_int_equal(files->image.size, info.files[0].size);
    assert_true(image_by_index(0)->users >= 1);
    if (create_result != OK) {
        snprintf(why, why_size, "it will not fit");
        return create_result;
    }
    while (present[i])
        i++;
    present[i] = true;
    vms[i] = (struct vm){ .config = *config, .state = VM_PAUSED, .vcpu_count = 1, .vcpus = { &one_vcpu }, .id = now };
    strcpy(vms[i].name, config->name);
    *out = &vms[i];
    return OK;
}
enum err vm_restart(struct vm *vm, const struct vm_files *files, char *why, size_t why_size)
{
    assert_int_equal(vm->state, VM_HALTED);
    assert_ptr_equal(files->image.bytes, (void *)(uintptr_t)info.files[0].base);
    assert_ptr_equal(files->disk.bytes, NULL);
    snprintf(why, why_size, "it will not start");
    if (create_result == OK)
        vm->state = VM_PAUSED;
    return create_result;
}
enum err vm_destroy(struct vm *vm)
{
    assert_false(vm->teleporting);
    present[vm - vms] = false;
    memset(vm, 0xaa, sizeof(*vm));         /* whoever still looks at it will notice */
    return OK;
}
enum err vm_resume(struct vm *vm) { vm->state = VM_RUNNING; return OK; }
enum err vm_pause(struct vm *vm) { vm->state = VM_PAUSED; return OK; }
enum err vm_halt(struct vm *vm, const char *why)
{
    if (vm->state != VM_RUNNING && vm->state != VM_PAUSED)
        return ERR_STATE;
    strcpy(vm->reason, why);
    vm->state = VM_HALTED;
    return OK;
}
size_t vm_console_read(struct vm *vm, uint64_t *position, char *buffer, size_t size)
{
    size_t count = MIN(size, vm->console_position - *position);

    memcpy(buffer, vm->console + *position, count);
    *position += count;
    return count;
}
size_t vm_console_write(struct vm *vm, const char *bytes, size_t size)
{
    (void)vm;
    size = taken_by_guest ? MIN(size, (size_t)uart_room) : 0;
    strncat(guest_input, bytes, size);
    return size;
}
enum err vm_watch(struct vm *vm, struct thread *watcher) { (void)vm; (void)watcher; return OK; }
void vm_unwatch(struct vm *vm, struct thread *watcher) { (void)vm; (void)watcher; }
uint32_t vm_exit_counts(const struct vm *vm, struct vmx_exit_count *out, uint32_t max)
{
    (void)vm;
    assert_true(max >= 2);
    out[0] = (struct vmx_exit_count){ "HLT", 5 };
    out[1] = (struct vmx_exit_count){ "CPUID", 2 };
    return 2;
}
uint64_t vm_guest_ticks(const struct vm *vm) { (void)vm; return 777; }

/* The guests' NICs, of which one has an address. */
struct switch_port { const char *name; };
static struct switch_port clock_port = { "clock" };
struct switch_port *switch_port_by_index(uint32_t index) { return index ? NULL : &clock_port; }
const char *switch_port_name(const struct switch_port *p) { return p->name; }
uint32_t switch_port_addresses(const struct switch_port *p, uint32_t out[SWITCH_PORT_ADDRESSES_MAX])
{
    (void)p;
    out[0] = 0x0f02000a;
    return 1;
}

uint32_t cpu_count(void) { return 1; }
struct cpu *cpu_by_index(uint32_t index) { return index ? NULL : &one_cpu; }
uint64_t page_total_count(void) { return 100; }
uint64_t page_free_count(void) { return free_pages; }
uint64_t page_free_large_count(void) { return free_pages / 512; }
enum err page_alloc(unsigned order, struct hpa *out)
{
    size_t size = PAGE_SIZE << order;

    if (free_pages < 1UL << order)
        return ERR_NO_MEMORY;
    free_pages -= 1UL << order;
    out->raw = (uint64_t)aligned_alloc(size, size);
    return OK;
}
void page_free(struct hpa base, unsigned order)
{
    free((void *)base.raw);
    free_pages += 1UL << order;
}
void page_add_range(struct hpa base, uint64_t size) { given_back = base.raw; given_back_size = size; }
enum err paging_map_blocks(const struct hpa *blocks, uint32_t count, void **out)
{
    (void)blocks;
    *out = map_result ? NULL : malloc(count * LARGE_PAGE_SIZE);
    return map_result;
}
void paging_unmap_blocks(void *base, uint32_t count) { (void)count; free(base); }
uint64_t paging_pooled_pages(void) { return 0; }
uint64_t heap_used_bytes(void) { return 1234; }
uint64_t heap_block_count(void) { return 12; }
uint64_t heap_mapped_bytes(void) { return 8192; }
void power_off(void) { powered_off = true; }
enum err net_wait_up(uint64_t deadline) { (void)deadline; return OK; }
uint32_t net_address(void) { return 0x0f02000a; }
void net_get_stats(struct net_stats *out) { *out = (struct net_stats){ .driver = "fake", .rx_frames = 3 }; }
void switch_port_get_stats(struct switch_port *port, struct switch_port_stats *out)
{
    (void)port;
    *out = (struct switch_port_stats){ 0 };
}
uint32_t stream_live_count(void) { return 1; }
size_t stream_unacknowledged(const struct stream *stream) { (void)stream; return backlog; }
enum err stream_drain(struct stream *stream, uint64_t deadline) { (void)stream; (void)deadline; return OK; }
void stream_close(struct stream *stream) { (void)stream; }
enum err stream_listen(struct stream_listener **out, uint16_t port) { (void)out; (void)port; return ERR_CLOSED; }
enum err stream_accept(struct stream_listener *listener, struct stream **out, uint64_t deadline)
{
    (void)listener; (void)out; (void)deadline;
    return ERR_CLOSED;
}
void stream_listener_close(struct stream_listener *listener) { (void)listener; }
enum err stream_write(struct stream *stream, const void *data, size_t size, bool push, uint64_t deadline)
{
    (void)stream;
    assert_true(push && deadline < UINT64_MAX);
    if (write_result == OK)
        console_write(data, size);
    return write_result;
}
enum err stream_read_some(struct stream *stream, void *buffer, size_t size, size_t *got, uint64_t deadline)
{
    (void)stream; (void)deadline;
    *got = 0;
    if (!typed_by_client)
        return ERR_TIMEOUT;
    *got = MIN(size, strlen(typed_by_client));
    memcpy(buffer, typed_by_client, *got);
    typed_by_client += *got;
    return OK;
}

void teleport_default_options(struct teleport_options *options)
{
    *options = (struct teleport_options){ .limits = { 300000000, 30, false }, .timeout_us = 10, .doubt_us = 20 };
}
static teleport_departed *departed;
void teleport_on_departure(teleport_departed *fn) { departed = fn; }
enum err teleport_force(struct vm *vm, bool here)
{
    (void)vm;
    forced = true;
    forced_here = here;
    return OK;
}
enum err teleport_send(struct vm *vm, const struct teleport_options *options, teleport_progress *progress, void *context,
                       struct flight *flight)
{
    last_options = *options;
    if (vm->teleporting)
        return ERR_BUSY;
    *flight = (struct flight){ .outcome = teleport_result ? "kept" : "moved", .failed_step = teleport_result ? "connect" : NULL };
    strcpy(flight->guest, vm->name);
    strcpy(flight->reason, teleport_result ? "no \"answer\"" : "");
    for (uint32_t i = 0; i < 2; i++) {
        flight->rounds[i].facts = (struct round_facts){ 10, 1000, 5000000, 2 };
        flight->round_count = i + 1;
        progress(context, flight);
    }
    progress(context, flight);             /* at the end, without a new round */
    if (!teleport_result)
        vm_destroy(vm);
    return teleport_result;
}

/* ---- the tests' own words ----------------------------------------------------------------------------------------- */

static char image[16];

static int setup(void **state)
{
    (void)state;
    memset(present, 0, sizeof(present));
    memset(&info, 0, sizeof(info));
    strcpy(info.config.name, "pod-a");
    info.config.guest_count = 1;
    info.config.guests[0] = (struct guest_config){ .name = "clock", .image = "clock.elf", .memory_bytes = 64 * MIB,
                                                   .vcpus = 1, .cpu = POD_CPU_ANY, .cmdline = "hz=10" };
    info.file_count = 1;
    info.files[0] = (struct boot_file){ "clock.elf", (uintptr_t)image, sizeof(image) };
    boot = &info;
    memset(images, 0, sizeof(images));
    image_store_init(&info);
    free_pages = 50;
    given_back = 0;
    map_result = OK;
    vmx_on = true;
    powered_off = forced = false;
    create_result = teleport_result = write_result = OK;
    backlog = 0;
    typed_by_client = NULL;
    taken_by_guest = 1;
    uart_room = UINT32_MAX;
    while_asleep = NULL;
    memset(departures, 0, sizeof(departures));
    departure_init();
    guest_input[0] = '\0';
    return 0;
}

/* Runs one line in a new session; all that it said. */
static const char *run_as(enum session_kind kind, const char *line)
{
    struct session *session;

    said_size = 0;
    said[0] = '\0';
    assert_int_equal(session_create(&session, kind, NULL), OK);
    take_bytes(session, line, strlen(line));
    take_bytes(session, "\n", 1);
    session_destroy(session);
    return said;
}

static const char *run(const char *line)
{
    return run_as(SESSION_BOOT, line);
}

static void expect(const char *line, const char *reply)
{
    const char *answer = run(line);

    if (!strstr(answer, reply))
        fail_msg("%s\nsays %sexpected %s", line, answer, reply);
    if (said_size)
        assert_int_equal(answer[said_size - 1], '\n');
}

static struct vm *start_clock(void)
{
    expect("start clock", "{\"ok\":true,\"guest\":\"clock\",\"state\":\"running\"}\n");
    return vm_find("clock");
}

/* A test of a pod that has just booted, with the guest "clock" in its telepod.ini. */
#define T(name) cmocka_unit_test_setup(name, setup)
