/*
 * smp: what several processors may expect of each other. In every round all of them count under one lock, fault, read
 * their TSCs, and shoot down each other's translations; then the first one pings each of the others, sends it an NMI,
 * and wakes it from a HLT with interrupts off. Every interrupt is counted on both sides: none may be lost or come twice.
 */
#include "guests/lib/smp.h"
#include <stdbool.h>
#include "guests/lib/guest.h"
#include "guests/lib/insn.h"
#include "guests/lib/interrupt.h"
#include "guests/lib/machine.h"
#include "guests/lib/timer.h"

const char guest_name[] = "smp";
extern uint64_t page_directories[];     /* start.S: one entry for each 2 MiB */

#define VECTOR_PING VECTOR_USER
#define VECTOR_PONG (VECTOR_USER + 1)
#define VECTOR_SHOOT (VECTOR_USER + 2)
#define VECTOR_WORK (VECTOR_USER + 3)   /* only wakes */

#define PATIENCE_SECONDS 20
#define COUNTS_A_ROUND 200
#define FAULTS_A_COUNT 3
#define COUNTS_A_SHOT 20
#define PINGS_A_ROUND 4

/* The page that moves: a 2 MiB window at 2 GiB that shows one of two pieces of RAM, which hold different words. */
#define WINDOW_INDEX 1024
#define WINDOW ((volatile uint64_t *)0x80000000)
#define PIECE(n) ((volatile uint64_t *)(0x400000ul + (n) * LARGE_PAGE_SIZE))
#define PIECE_FLAGS 0xE3ul              /* present, writable, accessed, dirty, 2 MiB */
#define PIECE_WORD(n) (0x5a5a000000000000ul + (n))

/* Own cache lines, so that only what is meant to be shared is. */
static volatile struct processor {
    uint64_t counted, faults, pings, nmis, shots_taken;
    uint64_t round_done, deaf;
    uint64_t padding;
} __attribute__((aligned(64))) processors[CPUS_MAX];

static unsigned count;
static volatile uint64_t round_asked, deaf_asked, pongs;
static volatile const char *complaint;  /* of any processor; the first one prints it */
static volatile uint64_t complaint_value;

static volatile struct processor *self(void)
{
    return &processors[smp_number()];
}

static void complain(const char *what, uint64_t value)
{
    complaint_value = value;
    complaint = what;
}

static void look_for_complaints(void)
{
    if (complaint)
        guest_fail("%s (%lu)", (const char *)complaint, complaint_value);
}

#define WAIT_FOR(condition, what) \
    do { \
        uint64_t until_ = rdtsc() + PATIENCE_SECONDS * timer_tsc_hz(); \
        while (!(condition)) { \
            if (smp_number() == 0) \
                look_for_complaints(); \
            if (rdtsc() > until_) { \
                complain("waited too long for " what, smp_number()); \
                break; \
            } \
            __asm__ volatile("pause" : : : "memory"); \
        } \
    } while (0)

/* An interrupt: not while they are off. */
static void came(const struct interrupt_frame *frame)
{
    if (!(frame->rflags & RFLAGS_IF))
        complain("an interrupt came while interrupts were off", frame->vector);
}

/* ---- one counter, one clock, and faults --------------------------------------------------------------------------- */

static volatile uint32_t lock;
static volatile uint64_t shared_count, latest_tsc;

static void lock_take(volatile uint32_t *which)
{
    while (__atomic_exchange_n(which, 1, __ATOMIC_ACQUIRE))
        __asm__ volatile("pause" : : : "memory");
}

static void lock_give(volatile uint32_t *which)
{
    __atomic_store_n(which, 0, __ATOMIC_RELEASE);
}

static void ud_handler(struct interrupt_frame *frame)
{
    frame->rip += 2;
    self()->faults++;
}

/* An exception that is delivered twice skips more than the UD2, or leaves its frame on the stack. */
static void fault(void)
{
    uint64_t before, after, here = 0;

    __asm__ volatile("movq %%rsp, %0\n\tud2\n\tincq %2\n\tmovq %%rsp, %1" : "=&r"(before), "=&r"(after), "+r"(here) : : "memory");
    if (before != after || here != 1)
        complain("an exception left the stack moved, or skipped code", smp_number());
}

/* Every other time with interrupts off: what is sent here meanwhile must wait. */
static void count_once(void)
{
    bool off = self()->counted % 2;

    if (off)
        interrupts_disable();
    lock_take(&lock);
    uint64_t now = rdtsc();
    if (now < latest_tsc)
        complain("the TSC ran backwards from processor to processor", latest_tsc - now);
    latest_tsc = now;
    shared_count++;
    lock_give(&lock);
    if (off)
        interrupts_enable();
    self()->counted++;
    for (unsigned i = 0; i < FAULTS_A_COUNT; i++)
        fault();
}

/* ---- shoot-downs -------------------------------------------------------------------------------------------------- */

static volatile uint32_t shoot_lock, acknowledged;
static volatile uint64_t generation;
static uint64_t shots;

static void look_through_window(void)
{
    __asm__ volatile("invlpg %0" : : "m"(*(volatile char *)WINDOW) : "memory");
    if (*WINDOW != PIECE_WORD(generation % 2))
        complain("a translation outlived its shoot-down", smp_number());
}

static void shoot_handler(struct interrupt_frame *frame)
{
    came(frame);
    look_through_window();
    self()->shots_taken++;
    __atomic_fetch_add(&acknowledged, 1, __ATOMIC_SEQ_CST);
    interrupt_end();
}

/* By turns with the shorthand, to each by its ID, and to the whole cluster at once but itself. */
static void send_to_others(uint32_t vector, unsigned way)
{
    unsigned me = smp_number();
    uint32_t members = 0;

    if (way == 0) {
        smp_send(0, X2APIC_ICR_OTHERS | X2APIC_ICR_ASSERT | vector);
        return;
    }
    for (unsigned i = 0; i < count; i++) {
        if (i == me)
            continue;
        members |= 1u << (smp_apic_id(i) & 15);
        if (way == 1)
            smp_send(smp_apic_id(i), X2APIC_ICR_ASSERT | vector);
    }
    if (way == 2 && members)
        smp_send(members, X2APIC_ICR_LOGICAL | X2APIC_ICR_ASSERT | vector);
}

/* Interrupts are on while it waits for its turn: whose turn it is waits for an answer from here. */
static void shoot(void)
{
    lock_take(&shoot_lock);
    generation++;
    page_directories[WINDOW_INDEX] = (uint64_t)PIECE(generation % 2) | PIECE_FLAGS;
    acknowledged = 0;
    send_to_others(VECTOR_SHOOT, shots % 3);
    look_through_window();
    WAIT_FOR(acknowledged == count - 1, "a shoot-down");
    shots++;
    lock_give(&shoot_lock);
}

static void work(void)
{
    for (unsigned i = 1; i <= COUNTS_A_ROUND; i++) {
        count_once();
        if (i % COUNTS_A_SHOT == 0)
            shoot();
    }
}

/* ---- the others --------------------------------------------------------------------------------------------------- */

static void ping_handler(struct interrupt_frame *frame)
{
    came(frame);
    self()->pings++;
    smp_send(smp_apic_id(0), X2APIC_ICR_ASSERT | VECTOR_PONG);
    interrupt_end();
}

static void pong_handler(struct interrupt_frame *frame)
{
    came(frame);
    pongs++;
    interrupt_end();
}

static void work_handler(struct interrupt_frame *frame)
{
    came(frame);
    interrupt_end();
}

static void nmi_handler(struct interrupt_frame *frame)
{
    (void)frame;
    self()->nmis++;
}

/* Those with odd numbers spin while there is nothing to do, the others sleep. */
static void other(unsigned number)
{
    volatile struct processor *me = &processors[number];

    for (;;) {
        while (me->round_done == round_asked && me->deaf == deaf_asked) {
            if (number % 2) {
                interrupts_enable();
                __asm__ volatile("pause" : : : "memory");
                interrupts_disable();
            } else {
                interrupts_wait();
            }
        }
        if (me->deaf != deaf_asked) {
            me->deaf = deaf_asked;
            __asm__ volatile("hlt" : : : "memory");    /* interrupts are off: only an NMI wakes */
            continue;
        }
        interrupts_enable();
        work();
        interrupts_disable();
        me->round_done = round_asked;
    }
}

/* ---- the first ---------------------------------------------------------------------------------------------------- */

static void all_work(void)
{
    round_asked++;
    send_to_others(VECTOR_WORK, 0);
    work();
    for (unsigned i = 1; i < count; i++)
        WAIT_FOR(processors[i].round_done == round_asked, "the end of a round");
}

static void ping_all(void)
{
    for (unsigned turn = 0; turn < PINGS_A_ROUND; turn++)
        for (unsigned i = 1; i < count; i++) {
            uint64_t before = pongs;
            smp_send(smp_apic_id(i), X2APIC_ICR_ASSERT | VECTOR_PING);
            WAIT_FOR(pongs == before + 1, "the answer to a ping");
        }
}

/* Two, one right after the other: one is handled, one waits for its IRET (SDM Vol. 3A, 6.7.1 "Handling Multiple NMIs"). */
#define NMIS_AT_ONCE 2
static void nmi_all(void)
{
    for (unsigned i = 1; i < count; i++) {
        uint64_t before = processors[i].nmis;
        for (unsigned n = 0; n < NMIS_AT_ONCE; n++)
            smp_send(smp_apic_id(i), X2APIC_ICR_NMI | X2APIC_ICR_ASSERT);
        WAIT_FOR(processors[i].nmis >= before + NMIS_AT_ONCE, "two NMIs");   /* the deaf may have been sent one too many */
    }
}

/* An NMI that comes before the HLT does not end it: so until it answers, another and another. */
static void wake_the_deaf(void)
{
    uint64_t pause = timer_tsc_hz() / 1000;

    deaf_asked++;
    send_to_others(VECTOR_WORK, 0);
    for (unsigned i = 1; i < count; i++)
        WAIT_FOR(processors[i].deaf == deaf_asked, "a processor to go deaf");
    for (unsigned i = 1; i < count; i++) {
        uint64_t before = pongs;
        smp_send(smp_apic_id(i), X2APIC_ICR_ASSERT | VECTOR_PING);      /* must not wake it, and must not be lost */
        for (unsigned turn = 0; pongs == before; turn++) {
            uint64_t begin = rdtsc();
            smp_send(smp_apic_id(i), X2APIC_ICR_NMI | X2APIC_ICR_ASSERT);
            while (pongs == before && rdtsc() - begin < pause)
                ;
            if (turn == 1000 * PATIENCE_SECONDS)
                guest_fail("processor %u does not wake by an NMI", i);
        }
    }
}

static void check_sums(void)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < count; i++) {
        sum += processors[i].counted;
        if (processors[i].faults != processors[i].counted * FAULTS_A_COUNT)
            guest_fail("processor %u took %lu faults for %lu", i, processors[i].faults, processors[i].counted * FAULTS_A_COUNT);
    }
    if (sum != shared_count)
        guest_fail("counted %lu one by one, %lu together", sum, shared_count);
    look_for_complaints();
}

/* They wait for their start-up, which an NMI does not end; and then this one sleeps for ever, too. */
static void leave_the_others_asleep(void)
{
    uint64_t until = rdtsc() + timer_tsc_hz() / 100;

    wrmsr(X2APIC_SVR, X2APIC_SVR_ENABLE | VECTOR_SPURIOUS);
    smp_send(0, X2APIC_ICR_OTHERS | X2APIC_ICR_NMI | X2APIC_ICR_ASSERT);
    while (rdtsc() < until)                             /* it has been looked at */
        __asm__ volatile("pause");
    __asm__ volatile("cli\n\thlt" : : : "memory");
}

void guest_main(void)
{
    uint64_t rounds = option_number("rounds", 20, 0, UINT64_MAX);
    uint64_t report = option_number("report", 1, 1, UINT64_MAX);

    count = (unsigned)option_number("cpus", 2, 1, CPUS_MAX);
    if (option_number("alone", 0, 0, 1))
        leave_the_others_asleep();
    for (unsigned n = 0; n < 2; n++)
        *PIECE(n) = PIECE_WORD(n);
    page_directories[WINDOW_INDEX] = (uint64_t)PIECE(0) | PIECE_FLAGS;
    interrupt_set_handler(VECTOR_UD, ud_handler);
    interrupt_set_handler(VECTOR_NMI, nmi_handler);
    interrupt_set_handler(VECTOR_PING, ping_handler);
    interrupt_set_handler(VECTOR_PONG, pong_handler);
    interrupt_set_handler(VECTOR_SHOOT, shoot_handler);
    interrupt_set_handler(VECTOR_WORK, work_handler);
    smp_start(count, other);
    print("smp: %u processors\n", count);
    interrupts_enable();
    for (uint64_t round = 1; rounds == 0 || round <= rounds; round++) {
        all_work();
        ping_all();
        nmi_all();
        wake_the_deaf();
        check_sums();
        if (round % report == 0)
            print("smp: round %lu count %lu shots %lu tsc %lu\n", round, shared_count, shots, rdtsc());
    }
    interrupts_disable();
}
