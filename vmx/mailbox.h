/*
 * What others want of a vCPU, left for it in atomic bits: interrupt vectors for its APIC, and events. Any CPU posts;
 * only the vCPU's own CPU takes, before it enters guest mode. Only NMIs are counted; of all else two of a kind that come
 * together are one, as in an APIC's IRR.
 *
 * **Order**: a post sets what it says first and its bit in `events` last; the taker exchanges `events` for 0 first. So
 * what a taker has seen announced is there, and what comes later announces itself again.
 */
#ifndef TELEPOD_MAILBOX_H
#define TELEPOD_MAILBOX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "kernel/lib/util.h"

#define MAIL_NMI BIT(0)         /* nmis says how many */
#define MAIL_INIT BIT(1)
#define MAIL_SIPI BIT(2)        /* the vector is in sipi_vector */
#define MAIL_EXTINT BIT(3)      /* an ExtINT message: the next interrupt of the PIC is for it */
#define MAIL_LINT0 BIT(6)       /* the PIC's output has risen: look at it */
#define MAIL_TIME BIT(5)        /* vm->platform_deadline is sooner than it was: look at it before you sleep */
#define MAIL_VECTORS BIT(4)     /* there are bits in irr */

#define MAILBOX_WORDS 8

struct vcpu_mailbox {
    _Atomic uint32_t irr[MAILBOX_WORDS], level[MAILBOX_WORDS];
    _Atomic uint32_t events;
    _Atomic uint32_t sipi_vector;
    _Atomic uint32_t nmis;
};

static inline bool mailbox_is_empty(const struct vcpu_mailbox *box)
{
    return atomic_load_explicit(&box->events, memory_order_acquire) == 0;
}

/* `level`: goes into TMR, so that the EOI is told to the I/O APIC. */
static inline void mailbox_post_vector(struct vcpu_mailbox *box, uint8_t vector, bool level)
{
    uint32_t bit = 1u << vector % 32;
    if (level)
        atomic_fetch_or(&box->level[vector / 32], bit);
    else
        atomic_fetch_and(&box->level[vector / 32], ~bit);
    atomic_fetch_or(&box->irr[vector / 32], bit);
    atomic_fetch_or(&box->events, MAIL_VECTORS);
}

/* An INIT undoes a start-up IPI that has not been taken; one that follows is kept. */
static inline void mailbox_post_event(struct vcpu_mailbox *box, uint32_t event)
{
    uint32_t before = atomic_load(&box->events), after;
    if (event & MAIL_NMI)
        atomic_fetch_add(&box->nmis, 1);
    do {
        after = (event & MAIL_INIT ? before & ~(uint32_t)MAIL_SIPI : before) | event;
    } while (!atomic_compare_exchange_weak(&box->events, &before, after));
}

/*
 * SDM Vol. 3A, 6.7.1 "Handling Multiple NMIs": while one is handled one more is kept, and what comes then is lost. So of
 * those that come to a vCPU outside of guest mode two are kept, the first of which is as good as handled, if none is.
 * Returns how many wait after `arrived` came to `waiting`.
 */
#define NMIS_WAITING_MAX 2u
static inline uint32_t nmis_that_wait(uint32_t waiting, uint32_t arrived, bool one_is_handled)
{
    uint32_t room = one_is_handled ? NMIS_WAITING_MAX - 1 : NMIS_WAITING_MAX;
    return waiting >= room ? waiting : waiting + MIN(arrived, room - waiting);
}

#endif
