/* Posts from several threads while one takes: what was announced is there, and nothing is lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <string.h>
#include <cmocka.h>

#include "vmx/mailbox.h"

#define POSTERS 3
#define TURNS 4000

static struct vcpu_mailbox box;
static _Atomic uint32_t taken[256]; /* by vector, as its poster waits for it */
static _Atomic uint32_t running;

static int empty_box(void **state)
{
    (void)state;
    memset(&box, 0, sizeof box);
    return 0;
}

static void posting_and_taking(void **state)
{
    (void)state;
    assert_true(mailbox_is_empty(&box));
    mailbox_post_vector(&box, 0x31, true);
    assert_false(mailbox_is_empty(&box));
    assert_int_equal(box.irr[1], 1u << 17);
    assert_int_equal(box.level[1], 1u << 17);
    mailbox_post_vector(&box, 0x31, false); /* the latest kind counts, as in TMR */
    assert_int_equal(box.level[1], 0);
    mailbox_post_event(&box, MAIL_NMI);
    assert_int_equal(box.events, MAIL_VECTORS | MAIL_NMI);
}

/* A post says how many NMIs there were; of those two are kept, or one while one is handled. */
static void nmis_are_counted(void **state)
{
    static const struct { uint32_t waiting, arrived; bool one_is_handled; uint32_t wait; } cases[] = {
        { 0, 0, false, 0 }, { 0, 1, false, 1 }, { 0, 2, false, 2 }, { 1, 1, false, 2 }, { 0, 9, false, 2 }, { 2, 1, false, 2 },
        { 0, 1, true, 1 }, { 0, 2, true, 1 }, { 1, 1, true, 1 }, { 2, 0, true, 2 }, { 0, UINT32_MAX, false, 2 },
    };

    (void)state;
    mailbox_post_event(&box, MAIL_NMI);
    mailbox_post_event(&box, MAIL_EXTINT);
    mailbox_post_event(&box, MAIL_NMI);
    assert_int_equal(box.nmis, 2);
    assert_int_equal(box.events, MAIL_NMI | MAIL_EXTINT);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(nmis_that_wait(cases[i].waiting, cases[i].arrived, cases[i].one_is_handled), cases[i].wait);
}

static void init_undoes_what_was_to_start(void **state)
{
    (void)state;
    mailbox_post_event(&box, MAIL_SIPI);
    mailbox_post_event(&box, MAIL_INIT);
    assert_int_equal(box.events, MAIL_INIT);
    mailbox_post_event(&box, MAIL_SIPI);
    assert_int_equal(box.events, MAIL_INIT | MAIL_SIPI);
}

/* Posts its own vector again as soon as the one before has been taken: a lost one would hang it. */
static void *post(void *vector)
{
    uint8_t mine = (uint8_t)(uintptr_t)vector;

    for (uint32_t turn = 0; turn < TURNS; turn++) {
        mailbox_post_vector(&box, mine, turn & 1);
        while (atomic_load(&taken[mine]) == turn)
            ;
    }
    atomic_fetch_sub(&running, 1);
    return NULL;
}

static void take(void)
{
    if (!(atomic_exchange(&box.events, 0) & MAIL_VECTORS))
        return;
    for (unsigned word = 0; word < MAILBOX_WORDS; word++)
        for (uint32_t bits = atomic_exchange(&box.irr[word], 0); bits; bits &= bits - 1)
            atomic_fetch_add(&taken[word * 32 + (unsigned)__builtin_ctz(bits)], 1);
}

static void nothing_is_lost(void **state)
{
    static const uint8_t vectors[POSTERS] = { 0x20, 0x21, 0xfe };
    pthread_t threads[POSTERS];

    (void)state;
    running = POSTERS;
    for (unsigned i = 0; i < POSTERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, post, (void *)(uintptr_t)vectors[i]), 0);
    while (running)
        if (!mailbox_is_empty(&box))
            take();
    for (unsigned i = 0; i < POSTERS; i++)
        pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < POSTERS; i++)
        assert_int_equal(taken[vectors[i]], TURNS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(posting_and_taking, empty_box),
        cmocka_unit_test_setup(nmis_are_counted, empty_box),
        cmocka_unit_test_setup(init_undoes_what_was_to_start, empty_box),
        cmocka_unit_test_setup(nothing_is_lost, empty_box),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
