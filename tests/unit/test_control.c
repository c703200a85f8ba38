/* The command interpreter: commands about guests and about the pod, and lines that are none. */
#include "tests/fakes/control_pod.c"

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

static void test_halt(void **state)
{
    struct vm *vm = start_clock();

    (void)state;
    expect("halt clock", "{\"ok\":true,\"guest\":\"clock\",\"state\":\"halted\"}\n");
    expect("list", "\"name\":\"clock\",\"state\":\"halted\",\"reason\":\"halted by the operator\"");
    expect("halt clock", "{\"ok\":false,\"code\":\"not possible in this state\","
                         "\"error\":\"clock cannot be halted: it is halted: halted by the operator\"}\n");
    expect("resume clock", "clock cannot be resumed: it is halted: halted by the operator");
    expect("start clock", "\"state\":\"running\"");
    assert_ptr_equal(vm_find("clock"), vm);
    expect("pause clock", "\"ok\":true");
    expect("halt clock", "\"state\":\"halted\"");
    expect("halt nobody", "no guest nobody on this pod");
}

/* What a teleport owns, and what may run on the peer, is not switched off. */
static void test_halt_is_refused(void **state)
{
    struct vm *vm = start_clock();

    (void)state;
    vm->teleporting = true;
    expect("halt clock", "{\"ok\":false,\"code\":\"busy\",\"error\":\"clock is being teleported\"}\n");
    vm->state = VM_IN_DOUBT;
    expect("halt clock", "clock is in doubt: it may run on the peer");
    assert_int_equal(vm->state, VM_IN_DOUBT);
    assert_false(forced);
    vm->teleporting = false;
    vm->state = VM_INCOMING;
    expect("halt clock", "clock is being teleported");
    assert_string_equal(vm->reason, "");
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
    info.config.guests[0].cpu = 0;
    expect("stop clock", "\"ok\":true");
    expect("start clock cpu=any", "\"ok\":true");
    assert_int_equal(vm_find("clock")->config.cpu, POD_CPU_ANY);
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

static bool selftest_good(uint64_t *value) { (void)value; return true; }
static bool selftest_bad(uint64_t *value) { (void)value; return false; }
static bool selftest_measuring(uint64_t *value) { *value = 42; return true; }

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
        T(test_life), T(test_halt), T(test_halt_is_refused), T(test_start), T(test_machine), T(test_start_again), T(test_made_macs_avoid_others),
        T(test_pod_commands), T(test_bad_lines), T(test_overflow), T(test_longest_flight),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
