/*
 * The command interpreter on a pod of fakes: guests, network, time and consoles are small models in this file, and the
 * replies are compared as text. The rooms below the interpreter have their own tests.
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
static bool selftest_good(uint64_t *value) { (void)value; return true; }
static bool selftest_bad(uint64_t *value) { (void)value; return false; }
static bool selftest_measuring(uint64_t *value) { *value = 42; return true; }

enum err net_wait_up(uint64_t deadline) { (void)deadline; return OK; }
uint32_t net_address(void) { return 0x0f02000a; }
void net_get_stats(struct net_stats *out) { *out = (struct net_stats){ .driver = "fake", .rx_frames = 3 }; }
void switch_port_get_stats(struct switch_port *port, struct switch_port_stats *out) { (void)port; *out = (struct switch_port_stats){ 0 }; }
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

/* ---- guests ------------------------------------------------------------------------------------------------------- */

static void test_life(void **state)
{
    (void)state;
    expect("list", "{\"ok\":true,\"pod\":\"pod-a\",\"guests\":[],\"recipes\":[\"clock\"]}\n");
    assert_int_equal(start_clock()->config.memory_bytes, 64 * MIB);
    assert_string_equal(vm_find("clock")->config.cmdline, "hz=10");
    expect("list", "\"name\":\"clock\",\"state\":\"running\",\"reason\":\"\",\"teleporting\":false,\"memory_mib\":64");
    expect("list", "\"exits\":7");
    expect("list", "\"vcpus\":1,\"cpus\":[0],\"disk_mib\":0,\"devices\":\"none\",\"mac\":\"\",\"addresses\":[\"10.0.2.15\"],"
                   "\"image\":\"clock.elf\"");
    expect("start clock", "{\"ok\":false,\"code\":\"exists already\","
                           "\"error\":\"clock cannot be started: there is a guest clock already\"}\n");
    expect("resume clock", "\"error\":\"clock cannot be resumed: it is running\"");
    expect("pause clock", "{\"ok\":true,\"guest\":\"clock\",\"state\":\"paused\"}\n");
    expect("pause clock", "\"code\":\"not possible in this state\"");
    expect("resume clock", "\"state\":\"running\"");
    expect("stats clock", "{\"ok\":true,\"guest\":{\"name\":\"clock\"");
    expect("stats clock", "\"exits\":{\"HLT\":5,\"CPUID\":2},\"exits_total\":7}}\n");
    expect("stop clock", "{\"ok\":true}\n");
    expect("stop clock", "{\"ok\":false,\"code\":\"not found\",\"error\":\"no guest clock on this pod\"}\n");
}

static void test_start(void **state)
{
    (void)state;
    expect("start a image=clock.elf memory=4M cmdline=\"x y\" paused console=com2", "\"state\":\"paused\"");
    assert_int_equal(vm_find("a")->config.memory_bytes, 4 * MIB);
    assert_string_equal(vm_find("a")->config.cmdline, "x y");
    assert_int_equal(vm_find("a")->config.console, GUEST_CONSOLE_COM2);
    expect("start clock memory=128M", "\"ok\":true");
    assert_int_equal(vm_find("clock")->config.memory_bytes, 128 * MIB);
    assert_string_equal(vm_find("clock")->config.cmdline, "hz=10");
    expect("start b", "telepod.ini has no [guest b]");
    expect("start b image=b.elf", "this pod has no image file b.elf: upload it, or see what `images` lists");
    expect("start b image=clock.elf cpu=1", "this pod has no CPU 1, only 1");
    create_result = ERR_NO_MEMORY;
    expect("start b image=clock.elf", "\"code\":\"out of memory\",\"error\":\"b cannot be started: it will not fit\"");
    vmx_on = false;
    expect("start b image=clock.elf", "b cannot be started: no guests on this pod: this CPU has no VT-x\"");
}

static void test_machine(void **state)
{
    const struct guest_config *c;
    uint8_t first[GUEST_MAC_BYTES];

    (void)state;
    expect("start a image=clock.elf initrd=clock.elf disk=clock.elf vcpus=2 devices=net paused", "\"state\":\"paused\"");
    c = &vm_find("a")->config;
    assert_string_equal(c->initrd, "clock.elf");
    assert_int_equal(c->disk_bytes, LARGE_PAGE_SIZE);       /* of 16 bytes, rounded up */
    assert_int_equal(c->devices, GUEST_DEVICE_NET | GUEST_DEVICE_BLOCK);
    assert_int_equal(c->vcpus, 2);
    assert_int_equal(images[0].users, 0);
    memcpy(first, c->mac, sizeof(first));
    assert_int_equal(first[0], 0x02);
    expect("start b image=clock.elf", "\"ok\":true");
    assert_memory_not_equal(vm_find("b")->config.mac, first, sizeof(first));
    expect("stop a", "\"ok\":true");
    expect("start a image=clock.elf", "\"ok\":true");
    assert_memory_equal(vm_find("a")->config.mac, first, sizeof(first));   /* the same at every start */
    expect("start c image=clock.elf mac=02:00:00:00:00:77", "\"ok\":true");
    expect("start d image=clock.elf mac=02:00:00:00:00:77", "d cannot be started: the MAC 02:00:00:00:00:77 is the guest c's");
    memcpy(info.config.guests[0].mac, "\2\0\0\0\0\x78", GUEST_MAC_BYTES);
    expect("start d image=clock.elf mac=02:00:00:00:00:78", "telepod.ini gives the MAC 02:00:00:00:00:78 to another guest");
    expect("start clock", "\"ok\":true");
    expect("start d image=clock.elf initrd=x", "this pod has no initrd file x");
    expect("start d image=clock.elf disk=x", "this pod has no disk file x");
    expect("start d image=clock.elf devices=block", "devices has block, but there is no disk");
    images[0].size = LARGE_PAGE_SIZE + 1;
    expect("start d image=clock.elf disk=clock.elf disk_size=2M",
           "the disk file clock.elf has 2097153 bytes, and disk_size is 2097152");
    assert_int_equal(images[0].users, 0);
    assert_null(vm_find("d"));
}

static void test_start_again(void **state)
{
    struct vm *vm;

    (void)state;
    expect("start a image=clock.elf disk=clock.elf cmdline=one", "\"ok\":true");
    vm = vm_find("a");
    vm->state = VM_HALTED;
    expect("start a memory=4M", "only image, initrd and cmdline can be others");
    create_result = ERR_INVALID;
    expect("start a cmdline=two", "a cannot be started: it will not start");
    assert_string_equal(vm->config.cmdline, "one");
    create_result = OK;
    expect("start a image=nothing", "this pod has no image file nothing");
    expect("start a cmdline=two", "{\"ok\":true,\"guest\":\"a\",\"state\":\"running\"}\n");
    assert_ptr_equal(vm_find("a"), vm);
    assert_string_equal(vm->config.cmdline, "two");
    assert_string_equal(vm->config.disk, "clock.elf");
    expect("start a", "there is a guest a already");
    assert_int_equal(images[0].users, 0);
}

/* Whoever makes a MAC up does not take one that a running guest, or a recipe, has. */
static void test_made_macs_avoid_others(void **state)
{
    uint8_t made[GUEST_MAC_BYTES];

    (void)state;
    guest_mac_make(made, "pod-a", "x", 0);
    start_clock();
    memcpy(vm_find("clock")->config.mac, made, sizeof(made));
    guest_mac_make(info.config.guests[0].mac, "pod-a", "x", 1);
    expect("start x image=clock.elf", "\"ok\":true");
    guest_mac_make(made, "pod-a", "x", 2);
    assert_memory_equal(vm_find("x")->config.mac, made, sizeof(made));
}

/* ---- files -------------------------------------------------------------------------------------------------------- */

#define HELLO_UPLOADED "{\"event\":\"send\",\"bytes\":5}\n{\"ok\":true,\"image\":\"h\",\"bytes\":5,\"crc32c\":\"0x9a71bb4c\"}\n"

static void test_upload(void **state)
{
    (void)state;
    free_pages = 4096;
    typed_by_client = "hello";
    assert_string_equal(run_as(SESSION_TCP, "upload h 5"), HELLO_UPLOADED);
    assert_memory_equal(find("h")->bytes, "hello", 5);
    expect("images", "{\"name\":\"h\",\"bytes\":5,\"from\":\"upload\",\"state\":\"ready\",\"users\":0}");
    expect("images", "{\"name\":\"clock.elf\",\"bytes\":16,\"from\":\"boot volume\"");
    assert_non_null(strstr(run_as(SESSION_TCP, "upload h 5"), "h cannot be uploaded: there is a file of that name"));
    expect("remove h", "{\"ok\":true,\"in_use\":false}\n");
    expect("remove h", "no file h on this pod");
    /* Bytes in the same packet as the command, and the next command behind them. */
    typed_by_client = NULL;
    assert_string_equal(run_as(SESSION_TCP, "upload h 5 crc32c=9A71BB4C\nhelloremove h"),
                        HELLO_UPLOADED "{\"ok\":true,\"in_use\":false}\n");
    assert_int_equal(free_pages, 4096);
    expect("upload h 5", "an upload needs a TCP session");
}

static void test_upload_that_fails(void **state)
{
    (void)state;
    free_pages = 4096;
    typed_by_client = "hell";               /* and then the end of its stream */
    assert_non_null(strstr(run_as(SESSION_TCP, "upload h 5"),
                           "\"the upload of h broke off after 4 of 5 bytes: nothing of it is kept\""));
    assert_null(find("h"));
    typed_by_client = NULL;                 /* silence: what follows is no command */
    assert_null(strstr(run_as(SESSION_TCP, "upload h 500\nlist"), "recipes"));
    assert_null(find("h"));
    typed_by_client = "hello";
    assert_non_null(strstr(run_as(SESSION_TCP, "upload h 5 crc32c=00000001"),
                           "h came with CRC32C 9a71bb4c and should have 00000001: nothing of it is kept"));
    assert_null(find("h"));
    free_pages = 2048;
    assert_non_null(strstr(run_as(SESSION_TCP, "upload h 18446744073709551615"), "\"code\":\"out of memory\""));
    assert_non_null(strstr(run_as(SESSION_TCP, "upload h 33554432"),
                           "h cannot be uploaded: it takes 32768 KiB of memory; this pod has 8192 KiB free (4 blocks of 2 MiB), "
                           "and keeps 8192 KiB for itself"));
    free_pages = 8192;
    map_result = ERR_NO_MEMORY;
    assert_non_null(strstr(run_as(SESSION_TCP, "upload h 2097153"), "has just gone to somebody else"));
    assert_null(find("h"));
    assert_int_equal(free_pages, 8192);
}

/* A file of several blocks; removed while it is used, it goes with its last user. */
static void test_large_file(void **state)
{
    static char content[3 * LARGE_PAGE_SIZE + 1];
    struct image *h;

    (void)state;
    memset(content, 'x', sizeof(content) - 1);
    free_pages = 8192;
    typed_by_client = content;
    run_as(SESSION_TCP, "upload h 6291455");
    assert_int_equal(free_pages, 8192 - 3 * 512);
    h = image_take("h");
    assert_memory_equal(h->bytes, content, 6291455);
    expect("remove h", "\"in_use\":true");
    assert_null(image_take("h"));
    expect("images", "\"state\":\"removed\"");
    assert_int_equal(free_pages, 8192 - 3 * 512);
    image_release(h);
    assert_int_equal(free_pages, 8192);
    assert_null(strstr(run("images"), "\"h\""));
}

static void test_remove_boot_file(void **state)
{
    (void)state;
    expect("remove clock.elf", "\"ok\":true");
    assert_int_equal(given_back, (uintptr_t)image);
    assert_int_equal(given_back_size, PAGE_SIZE);
    expect("start clock", "this pod has no image file clock.elf");
}

static void test_taken(void **state)
{
    struct vm *vm = start_clock();

    (void)state;
    vm->teleporting = true;
    expect("stop clock", "{\"ok\":false,\"code\":\"busy\",\"error\":\"clock is being teleported\"}\n");
    expect("pause clock", "\"code\":\"busy\"");
    expect("resume clock", "\"code\":\"busy\"");
    expect("teleport clock 10.0.2.2", "\"code\":\"busy\"");
    expect("shutdown", "\"code\":\"busy\"");
    vm->state = VM_IN_DOUBT;
    expect("stop clock", "\"code\":\"in doubt\"");
    expect("resume clock", "\"code\":\"in doubt\"");
    expect("pause clock", "\"code\":\"busy\"");
    assert_false(forced);
    expect("stop clock force", "{\"ok\":true}\n");
    assert_true(forced && !forced_here);
    expect("resume clock force", "{\"ok\":true}\n");
    assert_true(forced_here);
}

/* ---- teleport ----------------------------------------------------------------------------------------------------- */

static void test_teleport(void **state)
{
    const char *answer;

    (void)state;
    start_clock();
    teleport_result = ERR_CLOSED;
    expect("teleport clock 10.0.2.2:7011 audit downtime=5 rounds=3 timeout=2 doubt=1 cut=round:1",
           "{\"ok\":false,\"code\":\"connection closed\",\"error\":\"clock: no \\\"answer\\\"\",\"flight\":{\"guest\":\"clock\"");
    assert_int_equal(last_options.port, 7011);
    assert_true(last_options.audit && !last_options.limits.give_up);
    assert_int_equal(last_options.limits.downtime_ns, 5000);
    assert_int_equal(last_options.limits.rounds_max, 3);
    assert_int_equal(last_options.timeout_us, 2000);
    assert_int_equal(last_options.doubt_us, 1000);
    assert_string_equal(last_options.cut, "round:1");
    teleport_result = OK;
    answer = run("teleport clock 10.0.2.2");
    assert_int_equal(last_options.limits.downtime_ns, 300000000);
    assert_non_null(strstr(answer, "{\"event\":\"round\",\"guest\":\"clock\",\"round\":{\"round\":0,"));
    assert_non_null(strstr(answer, "{\"event\":\"round\",\"guest\":\"clock\",\"round\":{\"round\":1,"));
    assert_null(strstr(answer, "{\"round\":2,"));
    assert_non_null(strstr(answer, "\n{\"ok\":true,\"flight\":{\"guest\":\"clock\""));
    expect("teleport clock 10.0.2.2", "no guest clock");
}

/* A client that is behind loses events, never the reply, and never holds up a teleport. */
static void test_slow_client(void **state)
{
    const char *answer;

    (void)state;
    start_clock();
    backlog = EVENT_BACKLOG_MAX + 1;
    answer = run_as(SESSION_TCP, "teleport clock 10.0.2.2");
    assert_null(strstr(answer, "event"));
    assert_int_equal(strncmp(answer, "{\"ok\":true,\"flight\"", 19), 0);
    start_clock();
    write_result = ERR_TIMEOUT;
    assert_string_equal(run_as(SESSION_TCP, "list"), "");
    assert_non_null(vm_find("clock"));
}

/* ---- console ------------------------------------------------------------------------------------------------------ */

static void print_on(struct vm *vm, const char *text)
{
    memcpy(vm->console + vm->console_position, text, strlen(text));
    vm->console_position += strlen(text);
}

static void test_console(void **state)
{
    struct vm *vm = start_clock();

    (void)state;
    print_on(vm, "tick 1\n");
    assert_string_equal(run("console clock"),
                        "{\"event\":\"console\",\"console\":\"clock\",\"text\":\"tick 1\\n\",\"position\":7}\n"
                        "{\"ok\":true,\"position\":7,\"gone\":false}\n");
    assert_string_equal(run("console clock position=7 follow=2"), "{\"ok\":true,\"position\":7,\"gone\":false}\n");
    expect("console clock position=7 input=\"go\\n\"", "{\"ok\":true,\"position\":7,\"gone\":false}\n");
    assert_string_equal(guest_input, "go\n");
    taken_by_guest = 0;
    expect("console clock input=abc", "{\"ok\":false,\"code\":\"timed out\",\"error\":\"clock took only 0 of 3 bytes of input\"}\n");
    expect("console x", "\"code\":\"not found\"");
    expect("console clock raw", "\"code\":\"not supported\"");
}

static void test_raw_console(void **state)
{
    struct vm *vm = start_clock();

    (void)state;
    print_on(vm, "tick 1\n");
    typed_by_client = "hello";             /* and then the end of its stream */
    assert_string_equal(run_as(SESSION_TCP, "console clock raw"), "{\"ok\":true,\"raw\":true}\ntick 1\n");
    assert_string_equal(guest_input, "hello");
}

static uint32_t sleeps;

/* A guest that answers, takes its input slowly, and then moves while the client has typed more. */
static void move_while_asleep(void)
{
    const struct teleport_departure to = { "pod-b", 0x0302000a, 7000 };
    struct vm *vm = vm_find("clock");

    sleeps++;
    if (sleeps == 1)
        print_on(vm, "b\n");
    if (sleeps == 2) {
        taken_by_guest = 0;                /* it is paused, and saved */
        print_on(vm, "last\n");
        vm->state = VM_MOVED;
        departed(vm, &to);
        vm_destroy(vm);
    }
}

#define ATTACHED "{\"event\":\"attached\",\"console\":\"clock\",\"pod\":\"pod-a\"}\n"

static void test_attached_console_follows(void **state)
{
    struct vm *vm = start_clock();

    (void)state;
    vm->id = 42;
    print_on(vm, "a\n");
    sleeps = 0;
    uart_room = 2;
    while_asleep = move_while_asleep;
    typed_by_client = "";
    assert_string_equal(run_as(SESSION_TCP, "console clock attach\nhello"),
                        ATTACHED "{\"event\":\"input\",\"taken\":2}\n"
                        "{\"event\":\"console\",\"console\":\"clock\",\"text\":\"a\\n\",\"position\":2}\n"
                        "{\"event\":\"console\",\"console\":\"clock\",\"text\":\"b\\n\",\"position\":4}\n"
                        "{\"ok\":true,\"position\":4,\"taken\":2}\n");     /* the client has closed: it ends */
    typed_by_client = NULL;
    guest_input[0] = '\0';
    sleeps = 0;
    assert_string_equal(run_as(SESSION_TCP, "console clock attach position=4\nhello"),
                        ATTACHED "{\"event\":\"input\",\"taken\":2}\n"
                        "{\"event\":\"input\",\"taken\":4}\n"
                        "{\"event\":\"console\",\"console\":\"clock\",\"text\":\"b\\n\",\"position\":6}\n"
                        "{\"event\":\"console\",\"console\":\"clock\",\"text\":\"last\\n\",\"position\":11}\n"
                        "{\"ok\":true,\"position\":11,\"taken\":4,"
                        "\"moved\":{\"pod\":\"pod-b\",\"address\":\"10.0.2.3\",\"control_port\":7000}}\n");
    assert_string_equal(guest_input, "hell");
    assert_null(departures[0].console);     /* nobody reads it any more */
    start_clock();                          /* the one over there keeps its MAC */
    assert_memory_not_equal(vm_find("clock")->config.mac, departures[0].mac, GUEST_MAC_BYTES);
    expect("stop clock", "\"ok\":true");
    expect("console clock", "{\"ok\":false,\"code\":\"not found\",\"error\":\"clock is not on this pod any more: it went to pod-b\","
                            "\"moved\":{\"pod\":\"pod-b\",\"address\":\"10.0.2.3\",\"control_port\":7000}}\n");
}

/* ---- the pod ------------------------------------------------------------------------------------------------------ */

static void test_pod_commands(void **state)
{
    (void)state;
    expect("help", "{\"usage\":\"stop NAME [force]\",\"help\":\"");
    expect("log", "{\"event\":\"log\",\"text\":\"[0.1] boot: one\\n[0.2] boot: two\\n\",\"position\":32}\n"
                  "{\"ok\":true,\"position\":32}\n");
    assert_string_equal(run("log 32"), "{\"ok\":true,\"position\":32}\n");
    expect("stats", "\"heap\":{\"bytes\":1234,\"blocks\":12,\"mapped\":8192},\"threads\":4,\"net\":{\"driver\":\"fake\"");
    expect("stats", "\"com2_bytes\":77,");
    expect("stats", "\"address\":\"10.0.2.15\"");
    control_register_selftest("kernel", selftest_good);
    control_register_selftest("bad", selftest_bad);
    control_register_selftest("measuring", selftest_measuring);
    expect("selftest measuring", "{\"ok\":true,\"value\":42}\n");
    expect("selftest", "{\"ok\":true}\n");
    expect("selftest x", "\"error\":\"no self-test x\"");
    expect("selftest bad", "{\"ok\":false,\"code\":\"aborted\"");
    start_clock();
    assert_string_equal(run("shutdown"), "{\"ok\":true}\n");
    assert_null(vm_find("clock"));
    assert_true(powered_off);
}

static void test_bad_lines(void **state)
{
    char line[COMMAND_LINE_MAX + 10];

    (void)state;
    expect("fly", "{\"ok\":false,\"code\":\"not found\",\"error\":\"fly: no such command; help lists them\"}\n");
    expect("li\001st", "byte 0x01 in column 3");
    memset(line, 'a', sizeof(line));
    line[sizeof(line) - 1] = '\0';
    expect(line, "{\"ok\":false,\"code\":\"out of range\",\"error\":\"the line is longer than 1024 bytes\"}\n");
    memcpy(line + sizeof(line) - 7, "\nlist", 6);
    expect(line, "{\"ok\":true,\"pod\"");
    expect("fly\rlist", "{\"ok\":true,\"pod\"");
    assert_string_equal(run(""), "");
    /* What a terminal echoes on COM1 is not answered; over TCP nothing echoes. */
    assert_string_equal(run_as(SESSION_SERIAL, "{\"ok\":true}"), "");
    assert_string_equal(run_as(SESSION_SERIAL, "[  1.000000] boot: pod"), "");
    assert_string_not_equal(run_as(SESSION_TCP, "{\"ok\":true}"), "");
}

/* Too much for a line is an error in words, not half an object. */
static void test_overflow(void **state)
{
    struct session *session;
    char chunk[1000];

    (void)state;
    memset(chunk, '"', sizeof(chunk));
    assert_int_equal(session_create(&session, SESSION_BOOT, NULL), OK);
    said_size = 0;
    session_begin_reply(session);
    for (int i = 0; i < 40; i++)
        json_bytes(&session->json, "text", chunk, sizeof(chunk));
    session_send(session);
    assert_string_equal(said, "{\"ok\":false,\"code\":\"out of range\","
                              "\"error\":\"the reply is longer than a line may be; ask for less\"}\n");
    assert_false(session->ok);
    session_destroy(session);
}

/* The longest flight record that can be: it must fit. */
static void test_longest_flight(void **state)
{
    struct flight *f = calloc(1, sizeof(*f));
    struct session *session;

    (void)state;
    assert_non_null(f);
    memset(f->guest, 'g', sizeof(f->guest) - 1);
    memset(f->source, 's', sizeof(f->source) - 1);
    memset(f->target, 't', sizeof(f->target) - 1);
    memset(f->reason, '"', sizeof(f->reason) - 1);
    f->outcome = f->failed_step = f->stop_reason = "within the limit";
    f->round_count = FLIGHT_ROUNDS_MAX;
    f->phase_count = FLIGHT_PHASES_MAX;
    for (uint32_t i = 0; i < f->round_count; i++)
        f->rounds[i] = (struct flight_round){ .facts = { 1UL << 36, 1UL << 50, 3600UL * 1000000000, 1UL << 36 },
                                              .zero_pages = 1UL << 36, .start_ns = 3600UL * 1000000000 };
    for (uint32_t i = 0; i < f->phase_count; i++)
        f->phases[i] = (struct flight_phase){ "the longest name", true, true, 1UL << 52, 1UL << 53 };
    assert_int_equal(session_create(&session, SESSION_BOOT, NULL), OK);
    said_size = 0;
    reply_flight(session, "guest", ERR_CLOSED, f);
    assert_non_null(strstr(said, "\"flight\":{\"guest\":\"ggg"));
    assert_true(said_size < SESSION_LINE_MAX * 3 / 4);
    session_destroy(session);
    free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_life, setup),          cmocka_unit_test_setup(test_start, setup),
        cmocka_unit_test_setup(test_machine, setup),       cmocka_unit_test_setup(test_made_macs_avoid_others, setup),
        cmocka_unit_test_setup(test_start_again, setup),
        cmocka_unit_test_setup(test_upload, setup),        cmocka_unit_test_setup(test_upload_that_fails, setup),
        cmocka_unit_test_setup(test_large_file, setup),    cmocka_unit_test_setup(test_remove_boot_file, setup),
        cmocka_unit_test_setup(test_taken, setup),         cmocka_unit_test_setup(test_teleport, setup),
        cmocka_unit_test_setup(test_slow_client, setup),   cmocka_unit_test_setup(test_console, setup),
        cmocka_unit_test_setup(test_attached_console_follows, setup),
        cmocka_unit_test_setup(test_raw_console, setup),   cmocka_unit_test_setup(test_pod_commands, setup),
        cmocka_unit_test_setup(test_bad_lines, setup),     cmocka_unit_test_setup(test_overflow, setup),
        cmocka_unit_test_setup(test_longest_flight, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
