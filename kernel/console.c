/*
 * Guarantees: text reaches every console that is there, in the order of the calls; a console that is missing or stuck
 * costs a bounded time. After a panic no lock is taken and nothing is left in a buffer.
 */
#include "kernel/console.h"
#include "kernel/arch/insn.h"
#include "kernel/framebuffer.h"
#include "kernel/log.h"
#include "kernel/spinlock.h"
#include "kernel/uart.h"

/* Bochs's debug port: reads as its own number where it exists (Bochs, "port_e9_hack"). */
#define DEBUG_PORT 0xe9

#define LOG_RING_SIZE (32 * 1024)
#define GUEST_RING_SIZE (64 * 1024)
#define INPUT_RING_SIZE 1024

static uint8_t com1_transmit[LOG_RING_SIZE], com1_receive[INPUT_RING_SIZE], com2_transmit[GUEST_RING_SIZE];
static uint8_t com2_receive[INPUT_RING_SIZE];

static void input_came(void);

static struct uart com1 = {
    .port = UART_COM1_PORT,
    .irq = UART_COM1_IRQ,
    .transmit = { com1_transmit, sizeof(com1_transmit), 0, 0 },
    .receive = { com1_receive, sizeof(com1_receive), 0, 0 },
    .received = input_came,
};
static struct uart com2 = {
    .port = UART_COM2_PORT,
    .irq = UART_COM2_IRQ,
    .transmit = { com2_transmit, sizeof(com2_transmit), 0, 0 },
    .receive = { com2_receive, sizeof(com2_receive), 0, 0 },
};
static bool debug_port, panicked;
static struct thread *reader;
static struct spinlock lock = SPINLOCK_INIT; /* keeps calls whole on all consoles */

static void input_came(void)
{
    if (reader)
        thread_wake(reader);
}

void console_early_init(void)
{
    debug_port = inb(DEBUG_PORT) == DEBUG_PORT;
    uart_init(&com1);
    uart_init(&com2);
}

void console_framebuffer_init(const struct boot_framebuffer *framebuffer)
{
    uint64_t position = 0;
    char buffer[256];
    size_t count;

    if (!framebuffer_init(framebuffer))
        return;
    while ((count = log_read(&position, buffer, sizeof(buffer))) != 0) /* what was logged before */
        framebuffer_write(buffer, count);
}

void console_interrupts_init(void)
{
    enum err e = uart_enable_interrupts(&com1);

    if (e != OK)
        log_error("console", "COM1 has no interrupt (%s): no commands from there", err_name(e));
    if (com2.present && uart_enable_interrupts(&com2) != OK)
        log_error("console", "COM2 has no interrupt: it sends only when it is written to");
}

/* A terminal wants a carriage return before a newline. */
static void serial_write(const char *text, size_t size)
{
    size_t start = 0;

    for (size_t i = 0; i < size; i++) {
        if (text[i] != '\n')
            continue;
        uart_send(&com1, text + start, i - start, true);
        uart_send(&com1, "\r\n", 2, true);
        start = i + 1;
    }
    uart_send(&com1, text + start, size - start, true);
}

static void write_all(const char *text, size_t size, bool lossy)
{
    if (!panicked)
        spinlock_acquire(&lock);
    for (size_t i = 0; debug_port && i < size; i++)
        outb(DEBUG_PORT, (uint8_t)text[i]);
    if (!lossy || uart_room(&com1) >= LOG_RING_SIZE / 2) {
        serial_write(text, size);
        framebuffer_write(text, size); /* it has no buffer: a line that scrolls it is a million stores */
    }
    if (!panicked)
        spinlock_release(&lock);
}

void console_write(const char *text, size_t size)
{
    write_all(text, size, false);
}

void console_write_lossy(const char *text, size_t size)
{
    write_all(text, size, true);
}

size_t console_read(char *buffer, size_t size)
{
    return uart_take(&com1, buffer, size);
}

void console_set_reader(struct thread *waiter)
{
    reader = waiter;
}

void console_com2_write(const char *bytes, size_t size)
{
    uart_send(&com2, bytes, size, false); /* the log is worth waiting for; a guest's bytes are not */
}

uint32_t console_com2_taken(void)
{
    return uart_taken(&com2);
}

void console_flush(void)
{
    uart_flush(&com1);
    uart_flush(&com2);
}

void console_panic_mode(void)
{
    panicked = true;
    com1.unlocked = true;
    com2.unlocked = true;
}
