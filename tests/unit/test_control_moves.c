/* Sessions that outlast a line: a teleport with its events, and a console that follows its guest. */
#include "tests/fakes/control_pod.c"

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
    expect("console clock input=abc",
           "{\"ok\":false,\"code\":\"timed out\",\"error\":\"clock took only 0 of 3 bytes of input\"}\n");
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
    expect("console clock",
           "{\"ok\":false,\"code\":\"not found\",\"error\":\"clock is not on this pod any more: it went to pod-b\","
           "\"moved\":{\"pod\":\"pod-b\",\"address\":\"10.0.2.3\",\"control_port\":7000}}\n");
}

/* Between RUNNING and the end of the audit the source still holds the guest's image: the console is where the guest is. */
static void test_console_of_a_guest_that_has_moved(void **state)
{
    const struct teleport_departure to = { "pod-b", 0x0302000a, 7000 };
    struct vm *vm = start_clock();

    (void)state;
    vm->id = 42;
    print_on(vm, "a\n");
    vm->state = VM_MOVED;
    departed(vm, &to);
    assert_string_equal(run_as(SESSION_TCP, "console clock attach"),
                        "{\"ok\":false,\"code\":\"not found\","
                        "\"error\":\"clock is not on this pod any more: it went to pod-b\","
                        "\"moved\":{\"pod\":\"pod-b\",\"address\":\"10.0.2.3\",\"control_port\":7000}}\n");
    expect("console clock", "it went to pod-b");
}

/* Whether it will ever run here is not known: the client asks again. */
static void test_console_of_a_guest_on_its_way(void **state)
{
    struct vm *vm = start_clock();

    (void)state;
    vm->state = VM_INCOMING;
    assert_string_equal(run_as(SESSION_TCP, "console clock attach"),
                        "{\"ok\":false,\"code\":\"busy\","
                        "\"error\":\"clock does not run here yet: it is on its way, or starts again\"}\n");
    vm->state = VM_RUNNING;
    typed_by_client = "";
    expect("console clock", "\"ok\":true");
    assert_non_null(strstr(run_as(SESSION_TCP, "console clock attach"), ATTACHED));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_teleport), T(test_slow_client), T(test_console), T(test_raw_console), T(test_attached_console_follows),
        T(test_console_of_a_guest_that_has_moved), T(test_console_of_a_guest_on_its_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
