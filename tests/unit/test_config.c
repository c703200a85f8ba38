/* telepod.ini: what is accepted, every default, and for every kind of mistake the line and the sentence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "boot/config.h"
#include "kernel/lib/addr.h"
#include "kernel/lib/guest_config.h"
#include "kernel/lib/util.h"

static struct pod_config config;
static struct config_errors errors;

/* The text is parsed from a heap block of just its size, so that the sanitizer sees a read past its end. */
static bool parse(const char *text, size_t size)
{
    char *copy = malloc(size ? size : 1);
    bool good;

    memcpy(copy, text, size);
    memset(&config, 0xa5, sizeof(config));
    good = config_parse(copy, size, &config, &errors);
    free(copy);
    assert_int_equal(good, errors.count == 0);
    return good;
}

static bool parse_string(const char *text)
{
    return parse(text, strlen(text));
}

static uint32_t ipv4(uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
    const uint8_t bytes[] = { a, b, c, d };
    uint32_t address;

    memcpy(&address, bytes, sizeof(address)); /* network byte order: as the bytes stand */
    return address;
}

static void test_all_keys(void **state)
{
    (void)state;
    assert_true(parse_string("; a comment\n"
                             "# another\n"
                             "[pod]\n"
                             "name = pod-a\n"
                             "address = 10.1.2.3/20 ; inline\n"
                             "gateway = 10.1.0.1\n"
                             "control_port = 1\n"
                             "teleport_port = 65535\n"
                             "nic = 1\n"
                             "lan = 2\n"
                             "apicv = no\n"
                             "run = start clock\n"
                             "run = teleport clock 10.0.2.2:7001\n"
                             "\n"
                             "[guest clock]\n"
                             "image = clock.elf\n"
                             "initrd = initrd.img\n"
                             "disk = root.img\n"
                             "disk_size = 64M\n"
                             "memory = 1G\n"
                             "cpu = 3\n"
                             "vcpus = 16\n"
                             "devices = net, entropy,console\n"
                             "mac = 02:00:5e:00:fF:0a\n"
                             "console = com2\n"
                             "autostart = yes\n"
                             "cmdline = rate=5 = set:10\n"));
    assert_string_equal(config.name, "pod-a");
    assert_false(config.dhcp);
    assert_int_equal(config.address, ipv4(10, 1, 2, 3));
    assert_int_equal(config.netmask, ipv4(255, 255, 240, 0));
    assert_int_equal(config.gateway, ipv4(10, 1, 0, 1));
    assert_int_equal(config.control_port, 1);
    assert_int_equal(config.teleport_port, 65535);
    assert_int_equal(config.nic, 1);
    assert_int_equal(config.lan, 2);
    assert_int_equal(config.apicv, 0);
    assert_int_equal(config.command_count, 2);
    assert_string_equal(config.commands[1], "teleport clock 10.0.2.2:7001");
    assert_int_equal(config.guest_count, 1);
    assert_string_equal(config.guests[0].name, "clock");
    assert_string_equal(config.guests[0].image, "clock.elf");
    assert_string_equal(config.guests[0].initrd, "initrd.img");
    assert_string_equal(config.guests[0].disk, "root.img");
    assert_int_equal(config.guests[0].disk_bytes, 64 * MIB);
    assert_int_equal(config.guests[0].vcpus, 16);
    assert_int_equal(config.guests[0].devices, GUEST_DEVICES_ALL); /* the disk brings block */
    assert_memory_equal(config.guests[0].mac, "\x02\x00\x5e\x00\xff\x0a", GUEST_MAC_BYTES);
    assert_int_equal(config.guests[0].memory_bytes, GIB);
    assert_int_equal(config.guests[0].cpu, 3);
    assert_int_equal(config.guests[0].console, GUEST_CONSOLE_COM2);
    assert_int_equal(config.guests[0].autostart, 1);
    assert_string_equal(config.guests[0].cmdline, "rate=5 = set:10");
}

static void test_defaults(void **state)
{
    (void)state;
    assert_true(parse_string("[guest a]\nimage=i\n[pod]"));
    assert_string_equal(config.name, "pod");
    assert_true(config.dhcp);
    assert_int_equal(config.address | config.netmask | config.gateway, 0);
    assert_int_equal(config.control_port, 7000);
    assert_int_equal(config.teleport_port, 7001);
    assert_int_equal(config.nic, 0);
    assert_int_equal(config.lan, 0);
    assert_int_equal(config.apicv, 1);
    assert_int_equal(config.command_count, 0);
    assert_int_equal(config.guests[0].memory_bytes, 32 * MIB);
    assert_int_equal(config.guests[0].cpu, POD_CPU_ANY);
    assert_int_equal(config.guests[0].vcpus, 1);
    assert_int_equal(config.guests[0].console, GUEST_CONSOLE_LOG);
    assert_int_equal(config.guests[0].autostart, 0);
    assert_string_equal(config.guests[0].cmdline, "");
    assert_string_equal(config.guests[0].initrd, "");
    assert_string_equal(config.guests[0].disk, "");
    assert_int_equal(config.guests[0].disk_bytes, 0);
    assert_int_equal(config.guests[0].devices, 0);
    assert_true(guest_mac_is_zero(config.guests[0].mac));
}

static void test_what_follows_from_other_keys(void **state)
{
    (void)state;
    assert_true(parse_string("[guest a]\nimage=i\ndevices = none\ndisk_size=2M\n[pod]\nnic = 3\n"));
    assert_int_equal(config.lan, 3); /* the guests are where the pod is */
    assert_int_equal(config.guests[0].devices, GUEST_DEVICE_BLOCK);
    assert_int_equal(config.guests[0].disk_bytes, 2 * MIB);
    assert_true(parse_string("[pod]\n[guest a]\nimage=i\nmac=02:00:00:00:00:01\n"
                             "[guest b]\nimage=i\nmac=02:00:00:00:00:02\n[guest c]\nimage=i\n[guest d]\nimage=i\n"));
}

/* MACs that nobody chose: of stations, locally administered, and different where any name differs. */
static void test_made_macs(void **state)
{
    static const char *const pods[] = { "a", "b", "ab", "pod-a", "pod-b" }, *const guests[] = { "b", "a", "", "clock" };
    uint8_t macs[ARRAY_SIZE(pods) * ARRAY_SIZE(guests) * 2][GUEST_MAC_BYTES];
    size_t count = 0;

    (void)state;
    for (size_t p = 0; p < ARRAY_SIZE(pods); p++)
        for (size_t g = 0; g < ARRAY_SIZE(guests); g++)
            for (uint32_t attempt = 0; attempt < 2; attempt++)
                guest_mac_make(macs[count++], pods[p], guests[g], attempt);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(macs[i][0], 0x02);
        for (size_t j = 0; j < i; j++)
            assert_memory_not_equal(macs[i], macs[j], GUEST_MAC_BYTES);
    }
}

static void test_forms_of_text(void **state)
{
    (void)state;
    assert_true(parse_string("\xef\xbb\xbf[pod]\r\nname = x\r\n\r\n"
                             "[guest g] ; why\r\n\timage\t=\ti\t\r\n  memory=4096K"));
    assert_string_equal(config.name, "x");
    assert_string_equal(config.guests[0].image, "i");
    assert_int_equal(config.guests[0].memory_bytes, 4 * MIB);
}

/* One mistake: its line, and a piece of its sentence. */
static const struct mistake { const char *text; uint32_t line; const char *says; } mistakes[] = {
    { "", 1, "no [pod] section" },
    { "\n\n; nothing\n", 3, "no [pod] section" },
    { "name = x\n[pod]\n", 1, "name stands before the first [section]" },
    { "[pod]\nname\n", 2, "name: expected [section] or key = value" },
    { "[pod]\n\n[guest x\n", 3, "[guest x: expected [section]" },
    { "[pod] x\n[pod]\n", 1, "nothing behind [section]" },
    { "[pod]\n[pod]\n", 2, "[pod] is there twice" },
    { "[pod]\n[Pod]\n", 2, "[Pod] is unknown" },
    { "[pod]\n[]\n", 2, "[] is unknown" },
    { "[pod]\nadress = dhcp\n", 2, "adress is no key" },
    { "[pod]\n= dhcp\n", 2, "an empty name is no key" },
    { "[pod]\nimage = x\n", 2, "image is no key" },
    { "[pod]\nname = a\nname = a\n", 3, "name is there twice" },
    { "[pod]\nname = 1a\n", 2, "name = 1a: expected" },
    { "[pod]\nname =\n", 2, "name = : expected" },
    { "[pod]\nname = a b\n", 2, "name = a b: expected" },
    { "[pod]\nname = a2345678901234567890123456789012\n", 2, "expected up to 31" },
    { "[pod]\naddress = 10.0.0.1\n", 2, "dhcp or a host's" },
    { "[pod]\naddress = 10.0.0.1/31\n", 2, "dhcp or a host's" },
    { "[pod]\naddress = 010.0.0.1/24\n", 2, "dhcp or a host's" },
    { "[pod]\naddress = 10.0.0.1/0\n", 2, "dhcp or a host's" },
    { "[pod]\naddress = 10.0.0.0/24\n", 2, "dhcp or a host's" },
    { "[pod]\naddress = 10.0.0.255/24\n", 2, "dhcp or a host's" },
    { "[pod]\naddress = 256.0.0.1/24\n", 2, "dhcp or a host's" },
    { "[pod]\naddress = 127.0.0.1/8\n", 2, "dhcp or a host's" },
    { "[pod]\naddress = 224.0.0.1/8\n", 2, "dhcp or a host's" },
    { "[pod]\naddress = 10.0.0.1/24x\n", 2, "dhcp or a host's" },
    { "[pod]\naddress = 10.0.0\n", 2, "dhcp or a host's" },
    { "[pod]\ngateway = 10.0.0.1\n", 1, "static address only" },
    { "[pod]\naddress = 10.0.0.2/24\ngateway = 10.0.1.1\n", 1, "not another host" },
    { "[pod]\naddress = 10.0.0.2/24\ngateway = 10.0.0.2\n", 1, "not another host" },
    { "[pod]\naddress = 10.0.0.2/24\ngateway = 10.0.0.1.1\n", 3, "expected a host's a.b.c.d" },
    { "[pod]\ncontrol_port = 0\n", 2, "1 to 65535" },
    { "[pod]\ncontrol_port = 65536\n", 2, "1 to 65535" },
    { "[pod]\ncontrol_port = -1\n", 2, "1 to 65535" },
    { "[pod]\nteleport_port = 18446744073709551617\n", 2, "1 to 65535" },
    { "[pod]\nteleport_port = 7000\n", 1, "are the same" },
    { "[pod]\nnic = 16\n", 2, "0 to 15" },
    { "[pod]\nrun =\n", 2, "a command of 1 to 127" },
    { "[pod]\n[guest]\nimage = i\n", 2, "[guest] is unknown" },
    { "[pod]\n[guest 1]\nimage = i\n", 2, "[guest 1]: expected a name" },
    { "[pod]\n[guest a2345678901234567890123456789012]\n", 2, "expected a name" },
    { "[pod]\n[guest a]\nimage = i\n[guest a]\n", 4, "[guest a] is there twice" },
    { "[pod]\n[guest a]\n", 2, "no image" },
    { "[pod]\n[guest a]\nimage = ..\\x\n", 3, "no folder" },
    { "[pod]\n[guest a]\nimage = a/b\n", 3, "no folder" },
    { "[pod]\n[guest a]\nimage = .hidden\n", 3, "no folder" },
    { "[pod]\n[guest a]\nimage = i\nmemory = 32\n", 4, "multiple of 2M" },
    { "[pod]\n[guest a]\nimage = i\nmemory = 0M\n", 4, "multiple of 2M" },
    { "[pod]\n[guest a]\nimage = i\nmemory = 3M\n", 4, "multiple of 2M" },
    { "[pod]\n[guest a]\nimage = i\nmemory = 32MB\n", 4, "multiple of 2M" },
    { "[pod]\n[guest a]\nimage = i\nmemory = 65538M\n", 4, "multiple of 2M" },
    { "[pod]\n[guest a]\nimage = i\nmemory = 17592186044416M\n", 4, "multiple of 2M" },
    { "[pod]\n[guest a]\nimage = i\ncpu = 256\n", 4, "0 to 255" },
    { "[pod]\n[guest a]\nimage = i\nvcpus = 0\n", 4, "from 1 to 16" },
    { "[pod]\n[guest a]\nimage = i\nvcpus = 17\n", 4, "from 1 to 16" },
    { "[pod]\n[guest a]\nimage = i\ninitrd = a/b\n", 4, "no folder" },
    { "[pod]\n[guest a]\nimage = i\ndisk =\n", 4, "no folder" },
    { "[pod]\n[guest a]\nimage = i\ndisk_size = 3M\n", 4, "multiple of 2M" },
    { "[pod]\n[guest a]\nimage = i\ndevices = net,\n", 4, "some of net, block" },
    { "[pod]\n[guest a]\nimage = i\ndevices = net net\n", 4, "some of net, block" },
    { "[pod]\n[guest a]\nimage = i\ndevices = net, net\n", 4, "some of net, block" },
    { "[pod]\n[guest a]\nimage = i\ndevices = sound\n", 4, "some of net, block" },
    { "[pod]\n[guest a]\nimage = i\ndevices = block\n", 2, "no disk or disk_size" },
    { "[pod]\n[guest a]\nimage = i\nmac = 02:00:00:00:00\n", 4, "a station's" },
    { "[pod]\n[guest a]\nimage = i\nmac = 02:00:00:00:00:01:02\n", 4, "a station's" },
    { "[pod]\n[guest a]\nimage = i\nmac = 02:00:00:00:00:0g\n", 4, "a station's" },
    { "[pod]\n[guest a]\nimage = i\nmac = 03:00:00:00:00:01\n", 4, "a station's" },
    { "[pod]\n[guest a]\nimage = i\nmac = 00:00:00:00:00:00\n", 4, "a station's" },
    { "[pod]\n[guest a]\nimage=i\nmac=02:00:00:00:00:01\n[guest b]\nimage=i\nmac=02:00:00:00:00:01\n", 5,
      "mac is another guest's" },
    { "[pod]\nlan = 16\n", 2, "0 to 15" },
    { "[pod]\napicv = maybe\n", 2, "yes or no" },
    { "[pod]\n[guest a]\nimage = i\nconsole = LOG\n", 4, "log or com2" },
    { "[pod]\n[guest a]\nimage = i\nautostart = 1\n", 4, "yes or no" },
    { "[pod]\nname = \xc3\xa9\n", 2, "byte 0xc3 in column 8" },
    { "[pod]\n\x01\n", 2, "byte 0x01 in column 1" },
    { "[pod]\nname\r=x\n", 2, "byte 0x0d in column 5" },
};

static void test_every_mistake_has_its_sentence(void **state)
{
    static const struct pod_config nothing;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(mistakes); i++) {
        const struct mistake *m = &mistakes[i];

        assert_false(parse_string(m->text));
        if (errors.count != 1 || errors.list[0].line != m->line || !strstr(errors.list[0].sentence, m->says))
            fail_msg("%s -> %u errors, line %u: %s", m->text, errors.count, errors.list[0].line,
                     errors.list[0].sentence);
        assert_memory_equal(&config, &nothing, sizeof(config));
    }
}

static void test_nul_byte(void **state)
{
    static const char text[] = "[pod]\nname = a\0b\n";

    (void)state;
    assert_false(parse(text, sizeof(text) - 1));
    assert_int_equal(errors.count, 1);
    assert_int_equal(errors.list[0].line, 2);
    assert_non_null(strstr(errors.list[0].sentence, "byte 0x00 in column 9"));
}

static void test_all_bad_lines_are_reported_in_order(void **state)
{
    static const uint32_t lines[] = { 2, 3, 4, 5, 7, 9, 11 };

    (void)state;
    assert_false(parse_string("[pod]\n"
                              "name = 9\n"         /* 2: value */
                              "what\n"             /* 3: no pair */
                              "nic = x\n"          /* 4: value */
                              "[guest a]\n"        /* 5: no image, found at its end */
                              "memory = 2M\n"
                              "[guest b\n"         /* 7: no pair; what follows is not blamed on [guest a] */
                              "memory = 4M\n"
                              "[nonsense]\n"       /* 9: section */
                              "key = passed over\n"
                              "\x7f\n"));          /* 11: byte */
    assert_int_equal(errors.count, ARRAY_SIZE(lines));
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
        assert_int_equal(errors.list[i].line, lines[i]);
}

static void test_more_errors_than_fit(void **state)
{
    char text[4096] = "[guest a]\n";

    (void)state;
    for (int i = 0; i < 100; i++)
        strcat(text, i % 2 ? "x\n" : "y = 1\n");
    assert_false(parse_string(text));
    assert_true(errors.count > CONFIG_ERRORS_MAX);
    assert_int_equal(errors.list[0].line, 1); /* the missing image is found last and stands first */
    for (int i = 1; i < CONFIG_ERRORS_MAX; i++)
        assert_true(errors.list[i].line > errors.list[i - 1].line);
}

static void test_limits(void **state)
{
    char text[8192], value[GUEST_CMDLINE_MAX + 1];
    size_t used;

    (void)state;
    for (int extra = 0; extra < 2; extra++) {
        memset(value, 'c', sizeof(value));
        value[GUEST_CMDLINE_MAX - 1 + extra] = '\0';
        snprintf(text, sizeof(text), "[pod]\n[guest a]\nimage=i\ncmdline = %s\n", value);
        assert_int_equal(parse_string(text), extra == 0);

        memset(value, 'c', sizeof(value));
        value[POD_COMMAND_MAX - 1 + extra] = '\0';
        snprintf(text, sizeof(text), "[pod]\nrun = %s\n", value);
        assert_int_equal(parse_string(text), extra == 0);

        strcpy(text, "[pod]\n");
        for (int i = 0; i < POD_COMMANDS_MAX + extra; i++)
            strcat(text, "run = list\n");
        assert_int_equal(parse_string(text), extra == 0);

        used = (size_t)sprintf(text, "[pod]\n");
        for (int i = 0; i < POD_GUESTS_MAX + extra; i++)
            used += (size_t)sprintf(text + used, "[guest g%d]\nimage = i\n", i);
        assert_int_equal(parse_string(text), extra == 0);
    }
    assert_non_null(strstr(errors.list[0].sentence, "one too many"));
}

static void test_long_lines_and_files(void **state)
{
    static char text[CONFIG_TEXT_MAX + 1];

    (void)state;
    memset(text, 'x', sizeof(text));
    memcpy(text, "[pod]\n;", 7);
    assert_false(parse(text, 1000));
    assert_int_equal(errors.count, 1);
    assert_int_equal(errors.list[0].line, 2);
    assert_non_null(strstr(errors.list[0].sentence, "too long"));
    memset(text, '\n', sizeof(text));
    memcpy(text, "[pod]\n", 6);
    assert_true(parse(text, CONFIG_TEXT_MAX));
    assert_false(parse(text, CONFIG_TEXT_MAX + 1));
    assert_non_null(strstr(errors.list[0].sentence, "expected at most 65536"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_keys),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_what_follows_from_other_keys),
        cmocka_unit_test(test_made_macs),
        cmocka_unit_test(test_forms_of_text),
        cmocka_unit_test(test_every_mistake_has_its_sentence),
        cmocka_unit_test(test_nul_byte),
        cmocka_unit_test(test_all_bad_lines_are_reported_in_order),
        cmocka_unit_test(test_more_errors_than_fit),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_long_lines_and_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
