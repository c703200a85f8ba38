/* Guarantees what uart.h says. Facts: National Semiconductor PC16550D data sheet, 8.0 "Registers". */
#include "kernel/uart.h"
#include "kernel/arch/insn.h"
#include "kernel/interrupt.h"
#include "kernel/lib/util.h"
#include "kernel/log.h"
#include "kernel/time.h"

#define DATA 0 /* divisor's low byte while LCR_DIVISOR is set */
#define IER 1  /* divisor's high byte while LCR_DIVISOR is set */
#define IIR 2
#define FCR 2
#define LCR 3
#define MCR 4
#define LSR 5
#define MSR 6
#define SCRATCH 7

#define IER_RECEIVE BIT(0)
#define IER_TRANSMIT BIT(1)
#define IIR_NONE BIT(0)
#define FCR_ENABLE_CLEAR_TRIGGER_1 0x07
#define LCR_8N1 0x03
#define LCR_DIVISOR BIT(7)
#define MCR_DTR_RTS_OUT2 0x0b /* OUT2 lets the interrupt line out on a PC */
#define LSR_DATA BIT(0)
#define LSR_TRANSMIT_EMPTY BIT(5) /* THRE: the FIFO takes FIFO_SIZE bytes */
#define LSR_ALL_EMPTY BIT(6)      /* TEMT */
#define FIFO_SIZE 16
#define DIVISOR_115200 1
#define SCRATCH_PATTERN 0x5a
#define HANDLER_ROUNDS_MAX 64 /* interrupt causes served in one call: a broken port does not hold the CPU */
/* At 115200 baud 16 bytes take 1.4 ms. A port that takes nothing for this long is stuck. */
#define STUCK_US 20000
#define STUCK_POLLS 100000 /* the same before the clock is calibrated */

static uint8_t reg_read(const struct uart *u, uint16_t reg)
{
    return inb((uint16_t)(u->port + reg));
}
static void reg_write(const struct uart *u, uint16_t reg, uint64_t value)
{
    outb((uint16_t)(u->port + reg), (uint8_t)value);
}

static void acquire(struct uart *u)
{
    if (!u->unlocked)
        spinlock_acquire(&u->lock);
}

static void release(struct uart *u)
{
    if (!u->unlocked)
        spinlock_release(&u->lock);
}

static uint32_t ring_used(const struct uart_ring *r)
{
    return r->head - r->tail;
}
static bool ring_full(const struct uart_ring *r)
{
    return ring_used(r) == r->size;
}
static void ring_put(struct uart_ring *r, uint8_t byte)
{
    r->bytes[r->head++ & (r->size - 1)] = byte;
}
static uint8_t ring_take(struct uart_ring *r)
{
    return r->bytes[r->tail++ & (r->size - 1)];
}

/* Moves bytes from the ring to the port, if the port can take some now. */
static void transmit(struct uart *u)
{
    if (!ring_used(&u->transmit) || !(reg_read(u, LSR) & LSR_TRANSMIT_EMPTY))
        return;
    u->stuck = false;
    for (unsigned i = 0; i < FIFO_SIZE && ring_used(&u->transmit); i++)
        reg_write(u, DATA, ring_take(&u->transmit));
}

/* Moves bytes from the port to the ring; when that is full, the newest are lost. True: some came. */
static bool receive(struct uart *u)
{
    bool any = false;

    for (unsigned i = 0; i < FIFO_SIZE && reg_read(u, LSR) & LSR_DATA; i++) {
        uint8_t byte = reg_read(u, DATA);
        if (!ring_full(&u->receive))
            ring_put(&u->receive, byte);
        any = true;
    }
    return any;
}

/*
 * The line is edge-triggered: it must be low once before the next interrupt can come, so all causes are served until
 * IIR says that none is left. Reading IIR also takes back a transmit interrupt for which there is nothing to send.
 */
static void handler(void *arg)
{
    struct uart *u = arg;
    bool any = false;

    acquire(u);
    for (unsigned i = 0; i < HANDLER_ROUNDS_MAX && !(reg_read(u, IIR) & IIR_NONE); i++) {
        any |= receive(u);
        transmit(u);
        reg_read(u, MSR);
    }
    release(u);
    if (any && u->received)
        u->received();
}

bool uart_init(struct uart *u)
{
    reg_write(u, SCRATCH, SCRATCH_PATTERN);
    u->present = reg_read(u, SCRATCH) == SCRATCH_PATTERN;
    if (!u->present)
        return false;
    reg_write(u, IER, 0);
    reg_write(u, LCR, LCR_DIVISOR);
    reg_write(u, DATA, DIVISOR_115200);
    reg_write(u, IER, 0);
    reg_write(u, LCR, LCR_8N1);
    reg_write(u, FCR, FCR_ENABLE_CLEAR_TRIGGER_1);
    reg_write(u, MCR, MCR_DTR_RTS_OUT2);
    return true;
}

enum err uart_enable_interrupts(struct uart *u)
{
    if (!u->present)
        return ERR_NOT_FOUND;
    enum err e = interrupt_register_isa(u->irq, handler, u);
    if (e != OK)
        return e;
    acquire(u);
    u->interrupts = true;
    reg_write(u, IER, IER_RECEIVE | IER_TRANSMIT);
    transmit(u);
    release(u);
    return OK;
}

/*
 * Sends until at most `left` bytes are in the ring. A port that takes nothing for STUCK_US is stuck: nobody waits for
 * it again until it moves. Called with the lock held.
 */
static void drain(struct uart *u, uint32_t left)
{
    uint32_t used = ring_used(&u->transmit);
    uint64_t end = time_after_us(STUCK_US);
    bool clock = time_tsc_hz() != 0;

    for (unsigned polls = 0; used > left && !u->stuck; polls++) {
        pause();
        transmit(u);
        if (ring_used(&u->transmit) != used) {
            used = ring_used(&u->transmit);
            end = time_after_us(STUCK_US);
            polls = 0;
        }
        u->stuck = clock ? time_now() > end : polls > STUCK_POLLS;
    }
}

size_t uart_send(struct uart *u, const char *bytes, size_t size, bool wait)
{
    size_t taken = 0;

    if (!u->present)
        return 0;
    acquire(u);
    for (; taken < size; taken++) {
        if (ring_full(&u->transmit) && wait)
            drain(u, u->transmit.size - FIFO_SIZE);
        if (ring_full(&u->transmit))
            break;
        ring_put(&u->transmit, (uint8_t)bytes[taken]);
    }
    transmit(u);
    if (u->unlocked)
        drain(u, 0);
    release(u);
    return taken;
}

uint32_t uart_taken(const struct uart *u)
{
    return u->transmit.head;
}

size_t uart_room(struct uart *u)
{
    acquire(u);
    transmit(u);
    size_t room = u->transmit.size - ring_used(&u->transmit);
    release(u);
    return room;
}

size_t uart_take(struct uart *u, char *buffer, size_t size)
{
    size_t count = 0;

    acquire(u);
    while (count < size && ring_used(&u->receive))
        buffer[count++] = (char)ring_take(&u->receive);
    release(u);
    return count;
}

void uart_flush(struct uart *u)
{
    if (!u->present)
        return;
    acquire(u);
    drain(u, 0);
    release(u);
    for (unsigned polls = 0; polls < STUCK_POLLS && !(reg_read(u, LSR) & LSR_ALL_EMPTY); polls++)
        pause();
}
