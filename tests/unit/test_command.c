/* The command line: every verb as an operator types it, and a sentence for every kind of mistake. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "kernel/lib/addr.h"
#include "kernel/lib/pod_config.h"
#include "kernel/lib/util.h"
#include "net/control/command.h"
#include "net/control/command_table.h"
#include "net/control/line.h"

/* The line without its terminator at the end of a block, so that the sanitizer sees a read behind it. */
static enum err parse(struct command *c, const char *line)
{
    size_t size = strlen(line);
    char *copy = malloc(size ? size : 1);
    enum err e;

    assert_non_null(copy);
    memcpy(copy, line, size);
    e = command_parse(c, copy, size);
    free(copy);
    if (e == OK)
        assert_string_equal(c->error, "");
    else
        assert_string_not_equal(c->error, "");
    return e;
}

static void test_verbs(void **state)
{
    static const struct { const char *line; enum command_verb verb; uint32_t arguments; } cases[] = {
        { "help", COMMAND_HELP, 0 },          { "  list\t ", COMMAND_LIST, 0 },   { "start clock", COMMAND_START, 1 },
        { "stop clock", COMMAND_STOP, 1 },    { "halt clock", COMMAND_HALT, 1 },
        { "pause clock", COMMAND_PAUSE, 1 }, { "resume a.b-c_9", COMMAND_RESUME, 1 },
        { "console c", COMMAND_CONSOLE, 1 },  { "teleport c 10.0.2.2", COMMAND_TELEPORT, 2 },
        { "stats", COMMAND_STATS, 0 },        { "stats c", COMMAND_STATS, 1 },    { "log", COMMAND_LOG, 0 },
        { "log 77", COMMAND_LOG, 1 },         { "shutdown", COMMAND_SHUTDOWN, 0 }, { "selftest", COMMAND_SELFTEST, 0 },
        { "selftest crash-null", COMMAND_SELFTEST, 1 },
    };
    struct command c;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_int_equal(parse(&c, cases[i].line), OK);
        assert_int_equal(c.verb, cases[i].verb);
        assert_int_equal(c.argument_count, cases[i].arguments);
    }
}

static void test_start_options(void **state)
{
    struct command c;

    (void)state;
    assert_int_equal(parse(&c, "start x image=clock.elf memory=64M cmdline=\"a  b=\\\"c\\\"\" cpu=3 console=com2 paused"), OK);
    assert_string_equal(c.arguments[0].text, "x");
    assert_string_equal(c.options[OPTION_IMAGE].text, "clock.elf");
    assert_int_equal(command_number(&c, OPTION_MEMORY, 0), 64 * MIB);
    assert_string_equal(c.options[OPTION_CMDLINE].text, "a  b=\"c\"");
    assert_int_equal(command_number(&c, OPTION_CPU, 0), 3);
    assert_int_equal(command_number(&c, OPTION_CONSOLE, 9), GUEST_CONSOLE_COM2);
    assert_true(command_flag(&c, OPTION_PAUSED));
    assert_int_equal(parse(&c, "start x cpu=any"), OK);
    assert_int_equal(command_number(&c, OPTION_CPU, 0), POD_CPU_ANY);
    assert_int_equal(parse(&c, "start x"), OK);
    assert_null(c.options[OPTION_IMAGE].text);
    assert_false(command_flag(&c, OPTION_PAUSED));
    assert_int_equal(command_number(&c, OPTION_MEMORY, 7), 7);
}

static void test_tables_have_no_holes(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < COMMAND_OPTIONS; i++)
        assert_non_null(command_options[i].key);
    for (uint32_t i = 0; i < COMMAND_VERBS; i++)
        assert_true(command_verbs[i].name && command_verbs[i].help);
}

static void test_machine_options(void **state)
{
    static const uint8_t expected[GUEST_MAC_BYTES] = { 0x02, 0, 0x5e, 0, 0xff, 0x0a };
    uint8_t mac[GUEST_MAC_BYTES];
    struct command c;

    (void)state;
    assert_int_equal(parse(&c, "start x image=vmlinuz initrd=i.img disk=d.img disk_size=64M vcpus=16 mac=02:00:5e:00:ff:0A "
                               "devices=net,entropy"), OK);
    assert_string_equal(c.options[OPTION_INITRD].text, "i.img");
    assert_string_equal(c.options[OPTION_DISK].text, "d.img");
    assert_int_equal(command_number(&c, OPTION_DISK_SIZE, 0), 64 * MIB);
    assert_int_equal(command_number(&c, OPTION_VCPUS, 0), 16);
    assert_int_equal(command_number(&c, OPTION_DEVICES, 0), GUEST_DEVICE_NET | GUEST_DEVICE_ENTROPY);
    command_mac(&c, mac);
    assert_memory_equal(mac, expected, sizeof(mac));
    assert_int_equal(parse(&c, "start x devices=none"), OK);
    assert_int_equal(command_number(&c, OPTION_DEVICES, 9), 0);
    assert_int_equal(parse(&c, "upload 9.img 18446744073709551615 crc32c=00c0FFee"), OK);
    assert_string_equal(c.arguments[0].text, "9.img");
    assert_int_equal(c.arguments[1].number, UINT64_MAX);
    assert_int_equal(command_number(&c, OPTION_CRC32C, 0), 0xc0ffee);
}

static void test_teleport_options(void **state)
{
    static const uint8_t address[] = { 10, 0, 2, 2 };
    struct command c;

    (void)state;
    assert_int_equal(parse(&c, "teleport clock 10.0.2.2:7011 audit=1 downtime=40000 rounds=5 giveup timeout=3000 "
                               "doubt=0 cut=round:2"), OK);
    assert_memory_equal(&c.peer_address, address, sizeof(address));
    assert_int_equal(c.peer_port, 7011);
    assert_true(command_flag(&c, OPTION_AUDIT));
    assert_true(command_flag(&c, OPTION_GIVEUP));
    assert_int_equal(command_number(&c, OPTION_DOWNTIME, 1), 40000);
    assert_int_equal(command_number(&c, OPTION_ROUNDS, 1), 5);
    assert_int_equal(command_number(&c, OPTION_TIMEOUT, 1), 3000);
    assert_int_equal(command_number(&c, OPTION_DOUBT, 1), 0);
    assert_string_equal(c.options[OPTION_CUT].text, "round:2");
    assert_int_equal(parse(&c, "teleport audit=0 clock 10.0.2.2"), OK);
    assert_int_equal(c.peer_port, COMMAND_DEFAULT_PEER_PORT);
    assert_false(command_flag(&c, OPTION_AUDIT));
}

static void test_quotes(void **state)
{
    struct command c;

    (void)state;
    assert_int_equal(parse(&c, "console g input=\"\\x41\\t\\\\\\\"\\r\\n\""), OK);
    assert_string_equal(c.options[OPTION_INPUT].text, "A\t\\\"\r\n");
    assert_int_equal(parse(&c, "console g input=\"\""), OK);
    assert_string_equal(c.options[OPTION_INPUT].text, "");
    assert_int_equal(parse(&c, "console \"raw\" raw"), OK);      /* a guest may be called like a flag */
    assert_string_equal(c.arguments[0].text, "raw");
    assert_true(command_flag(&c, OPTION_RAW));
    assert_int_equal(parse(&c, "stop force force"), OK);
    assert_string_equal(c.arguments[0].text, "force");
}

static void test_mistakes(void **state)
{
    static const struct { const char *line; enum err e; const char *says; } cases[] = {
        { "", ERR_INVALID, "expected a command" },
        { "   ", ERR_INVALID, "expected a command" },
        { "=x", ERR_INVALID, "expected a command" },
        { "fly", ERR_NOT_FOUND, "no such command" },
        { "LIST", ERR_NOT_FOUND, "no such command" },
        { "list all", ERR_INVALID, "not understood behind list" },
        { "list force", ERR_INVALID, "not understood behind list" },
        { "start", ERR_INVALID, "usage: start NAME" },
        { "start 9x", ERR_INVALID, "a guest's name" },
        { "start a/b", ERR_INVALID, "a guest's name" },
        { "start aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", ERR_INVALID, "at most 31" },
        { "start x memory=63M", ERR_INVALID, "a multiple of 2M" },
        { "start x memory=64", ERR_INVALID, "a multiple of 2M" },
        { "start x memory=65538M", ERR_INVALID, "a multiple of 2M" },
        { "start x cpu=1 cpu=2", ERR_INVALID, "given twice" },
        { "start x speed=9", ERR_INVALID, "start has no option speed" },
        { "start x image=../k", ERR_INVALID, "a file's name" },
        { "start x image=", ERR_INVALID, "a file's name" },
        { "start x initrd=a/b", ERR_INVALID, "a file's name" },
        { "start x disk_size=1M", ERR_INVALID, "a multiple of 2M" },
        { "start x vcpus=0", ERR_INVALID, "a number from 1 to 16" },
        { "start x vcpus=17", ERR_INVALID, "a number from 1 to 16" },
        { "start x devices=net,disk", ERR_INVALID, "some of net, block, console, entropy" },
        { "start x devices=", ERR_INVALID, "some of net, block, console, entropy" },
        { "start x mac=01:00:5e:00:00:01", ERR_INVALID, "a station's" },
        { "upload x", ERR_INVALID, "usage: upload FILE BYTES" },
        { "upload a/b 5", ERR_INVALID, "a file's name" },
        { "upload x 0", ERR_INVALID, "at least 1" },
        { "upload x -5", ERR_INVALID, "at least 1" },
        { "upload x 99999999999999999999", ERR_INVALID, "at least 1" },
        { "upload x 5 crc32c=1234567", ERR_INVALID, "eight hexadecimal digits" },
        { "upload x 5 crc32c=1234567g", ERR_INVALID, "eight hexadecimal digits" },
        { "remove", ERR_INVALID, "usage: remove FILE" },
        { "images all", ERR_INVALID, "not understood behind images" },
        { "start x console=vga", ERR_INVALID, "log or com2" },
        { "start x cpu=-1", ERR_INVALID, "any, or a CPU's index from 0 to 255" },
        { "start x paused=2", ERR_INVALID, "expected 0 or 1" },
        { "pause x force", ERR_INVALID, "not understood behind pause" },
        { "teleport x", ERR_INVALID, "usage: teleport NAME PEER[:PORT]" },
        { "teleport x pod-b", ERR_INVALID, "an IPv4 address" },
        { "teleport x 10.0.2", ERR_INVALID, "an IPv4 address" },
        { "teleport x 10.0.2.256", ERR_INVALID, "an IPv4 address" },
        { "teleport x 10.0.2.2:0", ERR_INVALID, "an IPv4 address" },
        { "teleport x 10.0.2.2:65536", ERR_INVALID, "an IPv4 address" },
        { "teleport x 10.0.2.2:", ERR_INVALID, "an IPv4 address" },
        { "teleport x 0000000000000000010.0.2.2", ERR_INVALID, "an IPv4 address" },
        { "teleport x 10.0.2.2 rounds=0", ERR_INVALID, "a number from 1 to 64" },
        { "teleport x 10.0.2.2 downtime=99999999999999999999", ERR_INVALID, "a number from 0" },
        { "teleport x 10.0.2.2 cut=aaaaaaaaaaaaaaaa", ERR_INVALID, "longer than 15" },
        { "log x", ERR_INVALID, "expected a number" },
        { "log 18446744073709551616", ERR_INVALID, "expected a number" },
        { "console x input=\"abc", ERR_INVALID, "not closed" },
        { "console x input=\"abc\\", ERR_INVALID, "middle of an escape" },
        { "console x input=\"\\q\"", ERR_INVALID, "\\q is no escape" },
        { "console x input=\"\\x4\"", ERR_INVALID, "two hexadecimal digits" },
        { "console x input=\"\\x00\"", ERR_INVALID, "cannot be written" },
        { "console x \"raw\"", ERR_INVALID, "not understood" },
        { "li\001st", ERR_INVALID, "byte 0x01 in column 3" },
        { "list\x7f", ERR_INVALID, "byte 0x7f in column 5" },
        { "list \xc3\xa9", ERR_INVALID, "byte 0xc3 in column 6" },
        { "help 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9", ERR_INVALID,
          "more than 40 words" },
    };
    struct command c;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        enum err e = parse(&c, cases[i].line);

        if (e != cases[i].e || !strstr(c.error, cases[i].says))
            fail_msg("%s: %d, %s; expected %d, %s", cases[i].line, e, c.error, cases[i].e, cases[i].says);
    }
}

static void test_length(void **state)
{
    char line[COMMAND_LINE_MAX + 1];
    struct command c;

    (void)state;
    memset(line, 'a', sizeof(line));
    assert_int_equal(command_parse(&c, line, COMMAND_LINE_MAX + 1), ERR_RANGE);
    assert_int_equal(command_parse(&c, line, COMMAND_LINE_MAX), ERR_NOT_FOUND);
    memset(line, ' ', sizeof(line));
    memcpy(line, "list", 4);
    assert_int_equal(command_parse(&c, line, COMMAND_LINE_MAX), OK);
}

static void test_help(void **state)
{
    char synopsis[256];
    const char *help;

    (void)state;
    for (int verb = 0; verb < COMMAND_VERBS; verb++) {
        assert_true(command_describe((enum command_verb)verb, synopsis, sizeof(synopsis), &help));
        assert_true(strlen(synopsis) < sizeof(synopsis) - 1);
        assert_true(strlen(help) > 5);
    }
    assert_false(command_describe(COMMAND_VERBS, synopsis, sizeof(synopsis), &help));
    assert_true(command_describe(COMMAND_STOP, synopsis, sizeof(synopsis), &help));
    assert_string_equal(synopsis, "stop NAME [force]");
    assert_true(command_describe(COMMAND_LOG, synopsis, 7, &help));
    assert_string_equal(synopsis, "log [P");
}

/* ---- lines -------------------------------------------------------------------------------------------------------- */

/* Feeds text in pieces of `piece` bytes; the lines come out joined by '|', a lost one as '!'. */
static void join_lines(const char *text, size_t piece, char *out)
{
    struct line_reader reader = { .length = 0 };
    size_t size = strlen(text), at = 0;

    *out = '\0';
    while (at < size) {
        size_t taken, count = MIN(piece, size - at);
        enum line_event event = line_feed(&reader, text + at, count, &taken);

        assert_in_range(taken, 1, count);
        at += taken;
        if (event == LINE_COMPLETE)
            sprintf(out + strlen(out), "%.*s|", (int)reader.length, reader.text);
        else if (event == LINE_TOO_LONG)
            strcat(out, "!");
    }
}

static void test_lines(void **state)
{
    char text[3 * COMMAND_LINE_MAX], out[3 * COMMAND_LINE_MAX];

    (void)state;
    for (size_t piece = 1; piece < 20; piece++) {
        join_lines("one\r\n\n\rtwo\rthree\n\nfour", piece, out);
        assert_string_equal(out, "one|two|three|");
    }
    memset(text, 'a', sizeof(text));
    strcpy(text + COMMAND_LINE_MAX, "\nb\n");
    join_lines(text, 100, out);
    assert_int_equal(strlen(out), COMMAND_LINE_MAX + 3);
    memset(text, 'a', sizeof(text));
    strcpy(text + COMMAND_LINE_MAX + 1, "\nb\n");
    join_lines(text, 100, out);
    assert_string_equal(out, "!b|");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verbs),    cmocka_unit_test(test_start_options), cmocka_unit_test(test_teleport_options),
        cmocka_unit_test(test_tables_have_no_holes), cmocka_unit_test(test_machine_options),
        cmocka_unit_test(test_quotes),   cmocka_unit_test(test_mistakes),      cmocka_unit_test(test_length),
        cmocka_unit_test(test_help),     cmocka_unit_test(test_lines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
