/*
 * The target's side on a pod of fakes (tests/fakes/target_pod.h, which aborts on a broken promise): what an honest source
 * gets, and what several sources, an operator and a hostile peer can do to it at the worst moments.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "tests/fakes/target_pod.c"

#define BOOT 0x1000
#define OTHER_BOOT 0x2000
#define EPOCH 0x1001
#define SMALL (2 * MIB)
#define FRAMES (SMALL / PAGE_SIZE)

static int boot_pod(void **state)
{
    (void)state;
    pod_boot();
    return 0;
}

static int shut_pod(void **state)
{
    (void)state;
    pod_shut();
    return 0;
}

static void meet(uint32_t link, uint64_t boot_id)
{
    pod_connect(link, boot_id);
    pod_send_hello(link);
}

static void offer(uint32_t link, uint64_t epoch, const char *name, bool audit)
{
    struct msg_guest guest;
    pod_guest(&guest, epoch, name, SMALL);
    guest.audit = audit;
    pod_send_guest(link, &guest);
}

static void copy(uint32_t link, uint64_t epoch, uint8_t byte)
{
    const struct frame_run rest = { 3, FRAMES - 3 };
    pod_send_round_begin(link, 0, FRAMES);
    for (uint64_t f = 0; f < 3; f++)
        pod_send_page(link, f, (uint8_t)(byte + f));
    pod_send_zero(link, &rest, 1);
    pod_send_round_end(link, 0);
    pod_send_page(link, 1, (uint8_t)(byte + 100));
    pod_send_state(link);
    pod_send_prepare(link, epoch);
}

/* To READY. */
static void bring(uint32_t link, uint64_t boot_id, uint64_t epoch, const char *name)
{
    meet(link, boot_id);
    offer(link, epoch, name, false);
    copy(link, epoch, 7);
    pod_run();
    assert_int_equal(links[link].last, RECORD_READY);
}

static void ask(uint32_t link, uint64_t boot_id, uint64_t epoch)
{
    meet(link, boot_id);
    pod_send_epoch(link, RECORD_QUERY, epoch);
    pod_run();
    assert_int_equal(links[link].last, RECORD_STATUS);
}

static void an_honest_source(void **state)
{
    (void)state;
    meet(0, BOOT);
    offer(0, EPOCH, "g", true);
    copy(0, EPOCH, 7);
    pod_run();
    assert_int_equal(links[0].last, RECORD_READY);
    assert_true(pod_has_guest("g", false));
    pod_send_epoch(0, RECORD_COMMIT, EPOCH);
    pod_run();
    assert_int_equal(links[0].last, RECORD_RUNNING);
    assert_true(pod_has_guest("g", true));
    pod_send_audit(0, 0, FRAMES);
    pod_run();
    assert_int_equal(links[0].last, RECORD_AUDIT_RESULT);
    assert_int_equal(links[0].audit.frames, FRAMES);
    assert_int_equal(links[0].audit.different, 0);
    pod_send_epoch(0, RECORD_GOODBYE, EPOCH);
    pod_run();
    assert_true(links[0].closed_by_pod);
    ask(1, BOOT, EPOCH);
    assert_int_equal(links[1].status.status, STATUS_RUNNING);
}

/* One image that waits outlives its connection, is found by a source in doubt, and runs after its COMMIT. */
static void a_source_in_doubt_finds_what_waits(void **state)
{
    (void)state;
    bring(0, BOOT, EPOCH, "g");
    pod_hang_up(0);
    pod_run();
    pod_pass(50);
    ask(1, BOOT, EPOCH);
    assert_int_equal(links[1].status.status, STATUS_WAITING);
    pod_send_epoch(1, RECORD_COMMIT, EPOCH);
    pod_run();
    assert_int_equal(links[1].last, RECORD_RUNNING);
}

static void what_waits_too_long_never_runs(void **state)
{
    (void)state;
    bring(0, BOOT, EPOCH, "g");
    pod_hang_up(0);
    pod_run();
    pod_pass(61);
    assert_int_equal(pod_guest_count(), 0);
    ask(1, BOOT, EPOCH);
    assert_int_equal(links[1].status.status, STATUS_DISCARDED);
    pod_send_epoch(1, RECORD_COMMIT, EPOCH);
    pod_run();
    assert_int_equal(links[1].last, RECORD_STATUS);
    assert_int_equal(links[1].status.status, STATUS_DISCARDED);
}

static void commit_before_ready_frees_all(void **state)
{
    (void)state;
    meet(0, BOOT);
    offer(0, EPOCH, "g", false);
    pod_send_epoch(0, RECORD_COMMIT, EPOCH);
    pod_run();
    assert_int_equal(pod_guest_count(), 0);
    assert_true(links[0].closed_by_pod);
}

static void a_new_try_supersedes_what_waits(void **state)
{
    (void)state;
    bring(0, BOOT, EPOCH, "g");
    pod_hang_up(0);
    pod_run();
    bring(1, BOOT, EPOCH + 1, "g");
    pod_send_epoch(1, RECORD_COMMIT, EPOCH + 1);
    pod_run();
    assert_int_equal(links[1].last, RECORD_RUNNING);
    ask(2, BOOT, EPOCH);
    assert_int_equal(links[2].status.status, STATUS_DISCARDED);
}

/* Creation takes turns with the machine's CPU: two that begin at once must not get the same place. */
static void two_sources_at_once(void **state)
{
    (void)state;
    pod_many_cpus = true;
    for (uint32_t i = 0; i < 2; i++) {
        meet(i, BOOT + i);
        offer(i, EPOCH + i, i ? "one" : "zero", false);
        copy(i, EPOCH + i, (uint8_t)(50 * i + 1));
    }
    pod_run();
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(links[i].last, RECORD_READY);
        pod_send_epoch(i, RECORD_COMMIT, EPOCH + i);
    }
    pod_run();
    assert_int_equal(links[0].last, RECORD_RUNNING);
    assert_int_equal(links[1].last, RECORD_RUNNING);
}

static void no_more_than_there_is_room_for(void **state)
{
    (void)state;
    static const char *const names[] = { "a", "b", "c", "d", "e" };
    pod_many_cpus = true;
    for (uint32_t i = 0; i < ARRAY_SIZE(names); i++) {
        meet(i, BOOT + i);
        offer(i, EPOCH + i, names[i], false);
    }
    pod_run();
    assert_int_equal(pod_guest_count(), INCOMING_MAX);
}

/* A connection that brings a guest cannot take over another one: the first would belong to nobody. */
static void query_with_a_guest_in_hand(void **state)
{
    (void)state;
    bring(0, BOOT, EPOCH, "waits");
    pod_hang_up(0);
    pod_run();
    meet(1, BOOT);
    offer(1, EPOCH + 1, "g", false);
    pod_send_epoch(1, RECORD_QUERY, EPOCH);
    pod_run();
    assert_true(links[1].closed_by_pod);
    assert_false(pod_has_guest("g", false));
    ask(2, BOOT, EPOCH);
    assert_int_equal(links[2].status.status, STATUS_WAITING);
}

/* Whoever asks must be the pod that brought it: nobody else's COMMIT counts. */
static void only_its_source_can_ask_for_it(void **state)
{
    (void)state;
    bring(0, BOOT, EPOCH, "g");
    pod_hang_up(0);
    pod_run();
    ask(1, OTHER_BOOT, EPOCH);
    assert_int_equal(links[1].status.status, STATUS_UNKNOWN);
    pod_send_epoch(1, RECORD_COMMIT, EPOCH);
    pod_run();
    assert_int_equal(links[1].status.status, STATUS_UNKNOWN);
    assert_false(pod_has_guest("g", true));
}

/* The answer to "what of epoch N?" must not depend on who used the number before. */
static void an_epoch_is_used_once(void **state)
{
    (void)state;
    meet(0, BOOT);
    offer(0, EPOCH, "first", false);
    pod_send_abort(0, EPOCH);
    pod_run();
    meet(1, BOOT);
    offer(1, EPOCH, "second", false);
    copy(1, EPOCH, 7);
    pod_run();
    assert_int_equal(links[1].last, RECORD_REFUSE);
    assert_non_null(strstr(links[1].words, "epoch"));
    meet(2, OTHER_BOOT);     /* another pod's numbers are its own */
    offer(2, EPOCH, "third", false);
    copy(2, EPOCH, 7);
    pod_run();
    assert_int_equal(links[2].last, RECORD_READY);
    meet(3, OTHER_BOOT);     /* it is in use right now */
    offer(3, EPOCH, "fourth", false);
    pod_run();
    assert_int_equal(links[3].last, RECORD_REFUSE);
}

/* 4,096 runs of the whole memory in one record: hours of work on a large guest, if nobody minded. */
static void a_record_of_zeros_does_not_hold_the_cpu(void **state)
{
    (void)state;
    static struct frame_run runs[RECORD_PAYLOAD_MAX / FRAME_RUN_SIZE];
    meet(0, BOOT);
    offer(0, EPOCH, "g", false);
    pod_send_round_begin(0, 0, FRAMES);
    for (uint64_t f = 0; f < FRAMES; f++)
        pod_send_page(0, f, 1);
    for (uint32_t i = 0; i < ARRAY_SIZE(runs); i++)
        runs[i] = (struct frame_run){ 0, FRAMES };
    pod_send_zero(0, runs, ARRAY_SIZE(runs));
    pod_run();
    assert_true(links[0].closed_by_pod);
    assert_non_null(strstr(links[0].words, "ZERO"));
}

static void runs_that_overlap(void **state)
{
    (void)state;
    const struct frame_run runs[] = { { 0, 10 }, { 9, 5 } };
    meet(0, BOOT);
    offer(0, EPOCH, "g", false);
    pod_send_round_begin(0, 0, FRAMES);
    pod_send_zero(0, runs, 2);
    pod_run();
    assert_non_null(strstr(links[0].words, "ZERO"));
}

/* From COMMIT on the guest is the operator's; but not in the middle of its first resume. */
static void stop_while_it_begins_to_run(void **state)
{
    (void)state;
    pod_many_cpus = true;
    bring(0, BOOT, EPOCH, "g");
    pod_send_epoch(0, RECORD_COMMIT, EPOCH);
    bool stopped = false;
    while (!stopped) {
        for (uint32_t i = 0; i < THREADS; i++) {
            pod_step(i);
            stopped = stopped || pod_stop_guest("g");
        }
    }
    pod_run();
    assert_int_equal(links[0].last, RECORD_RUNNING);
    assert_int_equal(pod_guest_count(), 0);
}

/* On another CPU the guest enters a little later than this one looks. */
static void running_tells_the_first_entry(void **state)
{
    (void)state;
    for (int many = 0; many < 2; many++) {
        pod_many_cpus = many;
        bring((uint32_t)many, BOOT, EPOCH + (uint64_t)many, many ? "many" : "one");
        uint64_t before = now;
        pod_send_epoch((uint32_t)many, RECORD_COMMIT, EPOCH + (uint64_t)many);
        pod_run();
        assert_int_equal(links[many].last, RECORD_RUNNING);
        assert_true(links[many].running.commit_ns >= before);
        assert_int_equal(links[many].running.running_ns, vm_find(many ? "many" : "one")->first_entry_tsc);
    }
}

static void a_guest_that_was_paused_stays_so(void **state)
{
    (void)state;
    struct msg_guest guest;
    meet(0, BOOT);
    pod_guest(&guest, EPOCH, "g", SMALL);
    guest.state = GUEST_PAUSED;
    pod_send_guest(0, &guest);
    copy(0, EPOCH, 7);
    pod_send_epoch(0, RECORD_COMMIT, EPOCH);
    pod_run();
    assert_int_equal(links[0].last, RECORD_RUNNING);
    assert_true(pod_has_guest("g", false));
    assert_true(pod_resume_guest("g"));
    pod_run();
    assert_true(pod_has_guest("g", true));
}

#define DISK (2 * MIB)
static const struct guest_config big = { .name = "big", .memory_bytes = SMALL, .disk_bytes = DISK, .vcpus = 4,
                                         .devices = GUEST_DEVICE_NET | GUEST_DEVICE_BLOCK,
                                         .mac = { 2, 0, 0, 0, 0, 1 }, .image = "vmlinuz", .initrd = "initrd",
                                         .disk = "root.img", .cmdline = "console=ttyS0" };

static void a_guest_with_processors_and_a_disk(void **state)
{
    (void)state;
    struct msg_guest guest;
    meet(0, BOOT);
    pod_guest_of(&guest, EPOCH, &big, GUEST_RUNS);
    pod_send_guest(0, &guest);
    pod_send_page(0, FRAMES + 5, 9);        /* of the disk */
    copy(0, EPOCH, 7);
    pod_run();
    assert_int_equal(links[0].last, RECORD_READY);
    pod_send_epoch(0, RECORD_COMMIT, EPOCH);
    pod_run();
    assert_int_equal(links[0].last, RECORD_RUNNING);
    const struct guest_config *got = &vm_find("big")->config;
    assert_int_equal(got->vcpus, 4);
    assert_int_equal(got->devices, big.devices);
    assert_int_equal(got->disk_bytes, DISK);
    assert_memory_equal(got->mac, big.mac, sizeof big.mac);
    assert_string_equal(got->initrd, "initrd");
    assert_string_equal(got->disk, "root.img");
    assert_string_equal(got->cmdline, "console=ttyS0");
}

static void offer_and_be_refused(uint32_t link, const struct msg_guest *guest, const char *words)
{
    meet(link, OTHER_BOOT);
    pod_send_guest(link, guest);
    pod_run();
    assert_int_equal(links[link].last, RECORD_REFUSE);
    if (!strstr(links[link].words, words))
        fail_msg("refused with other words than %s: %s", words, links[link].words);
    pod_hang_up(link);
    pod_run();
}

/* What this pod's machine would not be is refused before a page is sent, in words. */
static void a_machine_that_this_pod_does_not_make(void **state)
{
    (void)state;
    struct msg_guest good, m;
    pod_guest_of(&good, EPOCH, &big, GUEST_RUNS);
    m = good, snprintf(m.kinds[m.kind_count - 1], KIND_NAME_MAX, "sound");
    offer_and_be_refused(0, &m, "this pod has no device sound");
    m = good, m.kind_versions[2] += 1;
    offer_and_be_refused(0, &m, "this pod would give it");
    m = good, m.kind_instances[2] -= 1;
    offer_and_be_refused(0, &m, "this pod would give it");
    m = good, m.kind_count--;
    offer_and_be_refused(0, &m, "this pod's machine has");
    m = good, memcpy(m.kinds[3], m.kinds[2], KIND_NAME_MAX), m.kind_versions[3] = m.kind_versions[2];
    offer_and_be_refused(0, &m, "");
    m = good, m.vcpus = GUEST_VCPUS_MAX + 1;
    offer_and_be_refused(0, &m, "17 vCPUs; this pod gives up to");
    m = good, m.vcpus = UINT32_MAX;
    offer_and_be_refused(0, &m, "vCPUs");
    m = good, m.range_size[0] -= PAGE_SIZE;
    offer_and_be_refused(0, &m, "memory map");
    m = good, m.range_kind[1] = MEMORY_RANGE_RAM;
    offer_and_be_refused(0, &m, "memory map");
    m = good, m.range_count = 1;
    offer_and_be_refused(0, &m, "memory map");
    pod_guest_of(&m, EPOCH, &(struct guest_config){ .name = "h", .vcpus = 1, .memory_bytes = 6 * MIB, .disk_bytes = DISK }, GUEST_RUNS);
    offer_and_be_refused(0, &m, "6 MiB of memory and 2 MiB of disk");
    assert_int_equal(pod_guest_count(), 0);
}

static void a_mac_is_one_guests(void **state)
{
    (void)state;
    struct msg_guest guest;
    struct guest_config other = big;
    meet(0, BOOT);
    pod_guest_of(&guest, EPOCH, &big, GUEST_RUNS);
    pod_send_guest(0, &guest);
    pod_run();
    assert_int_equal(links[0].last, RECORD_ACCEPT);
    snprintf(other.name, sizeof other.name, "other");
    pod_guest_of(&guest, EPOCH + 1, &other, GUEST_RUNS);
    offer_and_be_refused(1, &guest, "guest big has the MAC 02:00:00:00:00:01 already");
    other.devices = GUEST_DEVICE_BLOCK;     /* without a card the address is nobody's */
    pod_guest_of(&guest, EPOCH + 2, &other, GUEST_RUNS);
    meet(2, OTHER_BOOT);
    pod_send_guest(2, &guest);
    pod_run();
    assert_int_equal(links[2].last, RECORD_ACCEPT);
}

/* Its disk comes, its RAM does not, and COMMIT does not make it run. */
static void a_guest_that_has_ended(void **state)
{
    (void)state;
    struct msg_guest guest;
    const struct frame_run ram = { 0, 1 };
    pod_guest_of(&guest, EPOCH, &big, GUEST_ENDED);
    snprintf(guest.reason, sizeof guest.reason, "it powered itself off");
    meet(1, OTHER_BOOT);
    pod_send_guest(1, &guest);
    pod_send_zero(1, &ram, 1);
    pod_run();
    assert_int_equal(links[1].last, RECORD_ABORT);

    guest.audit = 1;
    meet(0, BOOT);
    pod_send_guest(0, &guest);
    pod_send_round_begin(0, 0, DISK / PAGE_SIZE);
    pod_send_page(0, FRAMES, 5);
    pod_send_zero(0, &(struct frame_run){ FRAMES + 1, DISK / PAGE_SIZE - 1 }, 1);
    pod_send_round_end(0, 0);
    pod_send_state(0);
    pod_send_prepare(0, EPOCH);
    pod_run();
    assert_int_equal(links[0].last, RECORD_READY);
    pod_send_epoch(0, RECORD_COMMIT, EPOCH);
    pod_run();
    assert_int_equal(links[0].last, RECORD_RUNNING);
    struct vm *vm = vm_find("big");
    assert_int_equal(vm->state, VM_HALTED);
    assert_string_equal(vm->reason, "it powered itself off");
    pod_send_audit(0, FRAMES, DISK / PAGE_SIZE);
    pod_run();
    assert_int_equal(links[0].last, RECORD_AUDIT_RESULT);
    assert_int_equal(links[0].audit.frames, DISK / PAGE_SIZE);
    assert_int_equal(links[0].audit.different, 0);
}

/* Names are commands' arguments and log lines: what an operator could not type is no name. */
static void names_that_nobody_can_type(void **state)
{
    (void)state;
    static const char *const names[] = { "a b", "x\n[ 0.1] pod: all is well", "\"", "9", "\x1b[2J" };
    for (uint32_t i = 0; i < ARRAY_SIZE(names); i++) {
        meet(i, BOOT);
        offer(i, EPOCH + i, names[i], false);
        pod_run();
        assert_int_equal(links[i].last, RECORD_REFUSE);
        assert_non_null(strstr(links[i].words, "name"));
    }
    struct msg_hello hello = teleport_hello();
    strcpy(hello.pod, "a\rb");
    pod_connect(6, BOOT);
    pod_send_message(6, RECORD_HELLO, &hello);
    pod_run();
    assert_int_equal(links[6].last, RECORD_REFUSE);
}

/* The words of an ABORT go to the log. */
static void words_of_a_peer_are_printable(void **state)
{
    (void)state;
    const struct msg_text text = { .epoch = EPOCH, .text = "one\ntwo\x07" };
    meet(0, BOOT);
    offer(0, EPOCH, "g", false);
    pod_send_message(0, RECORD_ABORT, &text);
    pod_run();
    assert_int_equal(links[0].last, RECORD_ABORT);
    assert_non_null(strstr(links[0].words, "printable"));
    assert_int_equal(pod_guest_count(), 0);
}

static void epoch_zero_names_nothing(void **state)
{
    (void)state;
    meet(0, BOOT);
    offer(0, 0, "g", false);
    pod_run();
    assert_int_equal(links[0].last, RECORD_REFUSE);
}

/* Whatever allocation fails, all that was taken comes back, and the next try works. */
static void memory_runs_out_anywhere(void **state)
{
    (void)state;
    bool ready = false;
    for (uint32_t after = 0; !ready; after++) {
        pod_fail_after = after;
        meet(0, BOOT);
        offer(0, EPOCH + after, "g", true);
        copy(0, EPOCH + after, 7);
        pod_run();
        ready = links[0].last == RECORD_READY;
        pod_fail_after = UINT32_MAX;
        if (ready)
            break;
        pod_run();
        assert_int_equal(pod_guest_count(), 0);
        assert_int_equal(live_blocks, 0);
        assert_true(!links[0].stream);
        assert_true(after < 32);
    }
}

/* The link is cut and nobody noticed: the farewell waits for its acknowledgement, but not the source's next try. */
static void a_dead_link_does_not_hold_the_guest(void **state)
{
    (void)state;
    meet(0, BOOT);
    offer(0, EPOCH, "g", false);
    links[0].deaf = true;
    pod_run();
    pod_time_out(0);
    pod_run();
    assert_non_null(links[0].stream);
    bring(1, BOOT, EPOCH + 1, "g");
}

static void too_many_connections(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < POD_LINKS; i++)
        meet(i, BOOT);
    pod_run();
    assert_int_equal(session_count, SESSIONS_MAX);
    for (uint32_t i = 0; i < POD_LINKS; i++)
        pod_time_out(i);
    pod_run();
    assert_int_equal(session_count, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, boot_pod, shut_pod)
    const struct CMUnitTest tests[] = {
        TEST(an_honest_source),
        TEST(a_source_in_doubt_finds_what_waits),
        TEST(what_waits_too_long_never_runs),
        TEST(commit_before_ready_frees_all),
        TEST(a_new_try_supersedes_what_waits),
        TEST(two_sources_at_once),
        TEST(no_more_than_there_is_room_for),
        TEST(query_with_a_guest_in_hand),
        TEST(only_its_source_can_ask_for_it),
        TEST(an_epoch_is_used_once),
        TEST(a_record_of_zeros_does_not_hold_the_cpu),
        TEST(runs_that_overlap),
        TEST(stop_while_it_begins_to_run),
        TEST(running_tells_the_first_entry),
        TEST(a_guest_that_was_paused_stays_so),
        TEST(a_guest_with_processors_and_a_disk),
        TEST(a_machine_that_this_pod_does_not_make),
        TEST(a_mac_is_one_guests),
        TEST(a_guest_that_has_ended),
        TEST(names_that_nobody_can_type),
        TEST(words_of_a_peer_are_printable),
        TEST(epoch_zero_names_nothing),
        TEST(memory_runs_out_anywhere),
        TEST(a_dead_link_does_not_hold_the_guest),
        TEST(too_many_connections),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
