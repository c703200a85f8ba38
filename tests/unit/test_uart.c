/* The 16550A: registers, FIFO, loopback, interrupt identification, and states that must not be let in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "kernel/lib/util.h"
#include "vmx/devices/uart.h"

enum { DATA, IER, IIR, LCR, MCR, LSR, MSR, SCR, FCR = IIR };

#define IDLE 0x60 /* LSR: THR and transmitter empty */

static struct uart uart;

static int setup(void **state)
{
    (void)state;
    uart_reset(&uart);
    return 0;
}

/* A write that transmits nothing. */
static void wr(unsigned port, uint8_t value)
{
    uint8_t out = 0x5a;

    assert_false(uart_write(&uart, port, value, &out));
    assert_int_equal(out, 0x5a);
}

static uint8_t rd(unsigned port)
{
    return uart_read(&uart, port);
}

static void test_reset(void **state)
{
    (void)state;
    assert_int_equal(rd(IER), 0);
    assert_int_equal(rd(IIR), 1);
    assert_int_equal(rd(LCR) | rd(MCR) | rd(SCR) | rd(DATA), 0);
    assert_int_equal(rd(LSR), IDLE);
    assert_int_equal(rd(MSR), 0xb0);
    assert_false(uart_interrupt(&uart));
}

static void test_transmit(void **state)
{
    uint8_t out = 0;

    (void)state;
    for (unsigned byte = 0; byte < 256; byte++) {
        assert_true(uart_write(&uart, DATA, (uint8_t)byte, &out));
        assert_int_equal(out, byte);
        assert_int_equal(rd(LSR), IDLE);
    }
}

static void test_receive_in_order(void **state)
{
    (void)state;
    assert_int_equal(uart_receive(&uart, "abc", 3), 3);
    for (const char *c = "abc"; *c; c++) {
        assert_int_equal(rd(LSR), IDLE | 1);
        assert_int_equal(rd(DATA), *c);
    }
    assert_int_equal(rd(LSR), IDLE);
    assert_int_equal(rd(DATA), 0);
}

#define ROOM (UART_FIFO_SIZE + UART_WAITING_SIZE)

/* What does not fit the FIFO waits on the line, and comes in order; what does not fit there is not taken. */
static void test_full_line_takes_no_more(void **state)
{
    static char many[ROOM + 10];

    (void)state;
    for (size_t i = 0; i < sizeof(many); i++)
        many[i] = (char)i;
    uart_receive(&uart, "z", 1);
    rd(DATA);
    for (unsigned round = 0; round < 5; round++) { /* the rings wrap at other places each time */
        assert_int_equal(uart_receive(&uart, many, UART_FIFO_SIZE), UART_FIFO_SIZE);
        assert_int_equal(uart_receive(&uart, many + UART_FIFO_SIZE, sizeof(many)), UART_WAITING_SIZE);
        assert_int_equal(uart_receive(&uart, many, 1), 0);
        for (unsigned i = 0; i < 7; i++)
            assert_int_equal(rd(DATA), (uint8_t)i);
        assert_int_equal(uart_receive(&uart, "1234567890", 10), 7);
        for (unsigned i = 7; i < ROOM; i++)
            assert_int_equal(rd(DATA), (uint8_t)i);
        for (const char *c = "1234567"; *c; c++)
            assert_int_equal(rd(DATA), *c);
        assert_int_equal(rd(LSR), IDLE);
    }
}

/* Linux clears the FIFO several times when it opens the port: what was typed ahead must survive. */
static void test_clearing_the_fifo_loses_no_more(void **state)
{
    (void)state;
    wr(FCR, 0x01);
    uart_receive(&uart, "0123456789abcdefXYZ", 19);
    wr(FCR, 0x07);
    for (const char *c = "XYZ"; *c; c++)
        assert_int_equal(rd(DATA), *c);
    assert_int_equal(rd(LSR), IDLE);
}

static void test_dlab(void **state)
{
    uint8_t out;

    (void)state;
    uart_receive(&uart, "x", 1);
    wr(IER, 5);
    wr(LCR, 0x83);
    wr(DATA, 0x34); /* not transmitted */
    wr(IER, 0x12);
    assert_int_equal(rd(DATA), 0x34);
    assert_int_equal(rd(IER), 0x12);
    wr(LCR, 0x03);
    assert_int_equal(rd(IER), 5);
    assert_int_equal(rd(DATA), 'x');
    assert_true(uart_write(&uart, DATA, 1, &out));
}

static void test_writable_bits(void **state)
{
    (void)state;
    for (unsigned value = 0; value < 256; value++) {
        wr(IER, (uint8_t)value);
        assert_int_equal(rd(IER), value & 0x0f);
        wr(MCR, (uint8_t)value);
        assert_int_equal(rd(MCR), value & 0x1f);
        wr(SCR, (uint8_t)value);
        assert_int_equal(rd(SCR), value);
        wr(LSR, (uint8_t)value);
        wr(MSR, (uint8_t)value);
        assert_int_equal(rd(LSR), IDLE);
    }
}

static void test_fifo_control(void **state)
{
    (void)state;
    wr(FCR, 0xc7); /* enable, both resets, trigger 14 */
    assert_int_equal(rd(IIR), 0xc1);
    uart_receive(&uart, "abc", 3);
    wr(FCR, 0xc1); /* no reset: the bytes stay */
    assert_int_equal(rd(LSR), IDLE | 1);
    wr(FCR, 0xc3); /* receiver reset */
    assert_int_equal(rd(LSR), IDLE);
    uart_receive(&uart, "abc", 3);
    wr(FCR, 0xc6); /* bit 0 clear: FIFOs off, which empties them, and the other bits are not programmed */
    assert_int_equal(rd(IIR), 0x01);
    assert_int_equal(rd(LSR), IDLE);
    assert_int_equal(uart.fcr, 0);
}

/* IIR: by priority, and each source goes away by the read that the data sheet names. */
static void test_interrupt_identification(void **state)
{
    (void)state;
    wr(FCR, 0x01);
    wr(MCR, 0x08);
    wr(IER, 0x02);
    assert_true(uart_interrupt(&uart));
    assert_int_equal(rd(IIR), 0xc2);
    assert_int_equal(rd(IIR), 0xc1); /* reading it has reset the source */
    assert_false(uart_interrupt(&uart));
    wr(IER, 0x0f);
    uart_receive(&uart, "a", 1);
    assert_int_equal(rd(IIR), 0xc4); /* trigger level 1 */
    wr(FCR, 0x41);                   /* trigger level 4 */
    assert_int_equal(rd(IIR), 0xcc);
    uart_receive(&uart, "bcd", 3);
    assert_int_equal(rd(IIR), 0xc4);
    wr(FCR, 0x43);
    assert_int_equal(rd(IIR), 0xc1);
    uart.msr_delta = 1;
    assert_int_equal(rd(IIR), 0xc0);
    rd(MSR);
    assert_int_equal(rd(IIR), 0xc1);
}

static void test_thr_interrupt_after_a_write(void **state)
{
    uint8_t out;

    (void)state;
    wr(IER, 0x02);
    assert_int_equal(rd(IIR), 2);
    uart_write(&uart, DATA, 'x', &out);
    assert_int_equal(rd(IIR), 2);
    assert_int_equal(rd(IIR), 1);
    wr(IER, 0x02); /* no change of the bit: no new interrupt */
    assert_int_equal(rd(IIR), 1);
}

/* OUT2 gates the line on a PC. */
static void test_interrupt_gate(void **state)
{
    (void)state;
    wr(IER, 0x01);
    uart_receive(&uart, "a", 1);
    assert_false(uart_interrupt(&uart));
    wr(MCR, 0x08);
    assert_true(uart_interrupt(&uart));
    wr(MCR, 0x18);
    assert_false(uart_interrupt(&uart));
}

static void test_loopback(void **state)
{
    (void)state;
    wr(MCR, 0x10);
    wr(DATA, 0xae); /* the classic presence test */
    assert_int_equal(rd(LSR), IDLE | 1);
    assert_int_equal(rd(DATA), 0xae);
    assert_int_equal(uart_receive(&uart, "x", 1), 1); /* waits: the line is cut off */
    assert_int_equal(rd(LSR), IDLE);
    for (unsigned i = 0; i < UART_FIFO_SIZE; i++)
        wr(DATA, (uint8_t)i);
    assert_int_equal(rd(LSR), IDLE | 1);
    wr(DATA, 0xff); /* overrun: lost, and said once */
    assert_int_equal(rd(LSR), IDLE | 3);
    assert_int_equal(rd(LSR), IDLE | 1);
    wr(MCR, 0);
    for (unsigned i = 0; i < UART_FIFO_SIZE; i++)
        assert_int_equal(rd(DATA), i);
    assert_int_equal(rd(DATA), 'x');
    assert_int_equal(rd(LSR), IDLE);
}

/* DTR -> DSR, RTS -> CTS, OUT1 -> RI, OUT2 -> DCD, and the delta bits until the MSR is read. */
static void test_loopback_modem_lines(void **state)
{
    static const struct { uint8_t mcr, msr; } lines[] = {
        { 0x10, 0x0b | 0x00 }, { 0x11, 0x02 | 0x20 }, { 0x13, 0x01 | 0x30 }, { 0x17, 0x00 | 0x70 },
        { 0x1f, 0x08 | 0xf0 }, { 0x1b, 0x04 | 0xb0 }, { 0x10, 0x0b | 0x00 }, { 0x00, 0x0b | 0xb0 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        wr(MCR, lines[i].mcr);
        assert_int_equal(rd(MSR), lines[i].msr);
        assert_int_equal(rd(MSR), lines[i].msr & 0xf0);
    }
}

/* Any sequence of accesses keeps the FIFO within bounds (the sanitizers watch). */
static void test_any_sequence(void **state)
{
    uint32_t random = 12345;

    (void)state;
    for (unsigned i = 0; i < 200000; i++) {
        uint8_t out;

        random = random * 1664525 + 1013904223;
        if ((random >> 8 & 3) == 0)
            uart_read(&uart, random >> 12);
        else if ((random >> 8 & 3) == 1)
            uart_receive(&uart, "0123456789", random >> 12 & 7);
        else
            uart_write(&uart, random >> 12 & 7, (uint8_t)(random >> 24), &out);
        assert_true(uart.fifo_head < UART_FIFO_SIZE && uart.fifo_count <= UART_FIFO_SIZE);
        assert_true(uart.waiting_head < UART_WAITING_SIZE && uart.waiting_count <= UART_WAITING_SIZE);
    }
}

static char why[160];

static enum err reload(const struct uart *from)
{
    uint8_t wire[2048];
    size_t size = section_wire_size(&uart_section);

    assert_true(size <= sizeof(wire));
    section_save(&uart_section, from, wire);
    return section_load(&uart_section, &uart, wire, size, why, sizeof(why));
}

static void test_state_round_trip(void **state)
{
    struct uart before;

    (void)state;
    wr(FCR, 0xc1);
    wr(IER, 0x0f);
    wr(MCR, 0x1b);
    wr(SCR, 0x77);
    uart_receive(&uart, "hello", 5);
    rd(DATA);
    before = uart;
    memset(&uart, 0, sizeof(uart));
    assert_int_equal(reload(&before), OK);
    assert_memory_equal(&uart, &before, sizeof(uart));
}

static void test_state_refused(void **state)
{
    static const struct { size_t offset; uint32_t value; unsigned size; const char *field; } wrong[] = {
#define WRONG(member, value) { offsetof(struct uart, member), value, sizeof(((struct uart *)0)->member), #member }
        WRONG(ier, 0x10), WRONG(mcr, 0x20), WRONG(fcr, 0x02), WRONG(fcr, 0xc0), WRONG(lsr_errors, 0x40),
        WRONG(msr_delta, 0x10), WRONG(thr_interrupt, 2), WRONG(fifo_head, 64), WRONG(fifo_head, UINT32_MAX),
        WRONG(fifo_count, 65), WRONG(fifo_count, UINT32_MAX),
#undef WRONG
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        struct uart bad, before;

        setup(NULL);
        bad = before = uart;
        memcpy((uint8_t *)&bad + wrong[i].offset, &wrong[i].value, wrong[i].size);
        assert_int_equal(reload(&bad), ERR_INVALID);
        assert_non_null(strstr(why, wrong[i].field));
        assert_memory_equal(&uart, &before, sizeof(uart));
    }
}

#define T(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_reset), T(test_transmit), T(test_receive_in_order), T(test_full_line_takes_no_more),
        T(test_clearing_the_fifo_loses_no_more), T(test_dlab),
        T(test_writable_bits), T(test_fifo_control), T(test_interrupt_identification),
        T(test_thr_interrupt_after_a_write), T(test_interrupt_gate), T(test_loopback), T(test_loopback_modem_lines),
        T(test_any_sequence), T(test_state_round_trip), T(test_state_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
