/* The command interpreter and its files: uploads, whole, broken off and too large, and what removes a file. */
#include "tests/fakes/control_pod.c"

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
    vm->holds = 1;
    expect("stop clock", "\"code\":\"busy\",\"error\":\"clock is just being paused or halted\"");
    vm->holds = 0;
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_upload), T(test_upload_that_fails), T(test_large_file), T(test_remove_boot_file), T(test_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
