/*
 * lab.c: conservative synchronisation (Chandy and Misra): all machines meet every quantum, which is no longer than the shortest
 * latency between two participants. So whatever a machine sends in one quantum is due in a later one at the earliest, and when a
 * quantum begins, all that is due in it is known. The laboratory's own hosts live in the fabric's time, one quantum behind, which
 * nobody can notice for the same reason.
 */
#include "tools/lab/cable/lab.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tools/lab/cable/capture.h"
#include "tools/lab/cable/futex.h"
#include "tools/lab/cable/shared.h"
#include "tools/lab/cable/station.h"

enum { NS_PER_US = 1000, LINE_MAX_BYTES = 4096, CARD_FIFO_BYTES = 48 * 1024 };

/* Pieces of something, one behind the other, for a caller in another language. */
struct pieces {
    uint8_t *bytes;
    size_t size, room;
};

/* A frame that waits for its machine. */
struct waiting {
    uint64_t due_ns;
    struct frame *frame;
};

struct card {
    int port; /* -1: not on a cable */
    struct waiting *waiting; /* in the order of their times */
    size_t count, room;
};

struct machine {
    bool used, running; /* running: it has a grant, and has not come to its end */
    int state;          /* enum lab_machine_state */
    uint64_t begin_ns, mips, grant_ticks;
    struct card cards[CABLE_CARDS];
    char line[LINE_MAX_BYTES]; /* of its log, begun at line_ns */
    size_t line_size;
    uint64_t line_ns;
};

enum port_kind { PORT_CARD, PORT_STATION, PORT_RAW };

static struct {
    struct cable_shared *shared;
    struct fabric *fabric;
    struct capture *capture;
    uint64_t now, next;      /* ns; `next`: the end of the quantum that is under way */
    bool granted, news;
    struct machine machines[CABLE_MACHINES];
    struct {
        enum port_kind kind;
        unsigned machine, card;
    } ports[FABRIC_PORTS];
    unsigned port_segment[FABRIC_PORTS];
    bool observed[FABRIC_SEGMENTS];
    struct pieces output, frames, seen;
} lab;

/* ---- pieces -------------------------------------------------------------------------------------------------------------- */

static void add_piece(struct pieces *pieces, const void *head, size_t head_size, const void *body, size_t body_size)
{
    size_t size = head_size + body_size;

    if (pieces->size + size > pieces->room) {
        size_t room = 2 * (pieces->size + size);
        uint8_t *more = realloc(pieces->bytes, room);

        if (!more)
            abort();
        pieces->bytes = more;
        pieces->room = room;
    }
    memcpy(pieces->bytes + pieces->size, head, head_size);
    memcpy(pieces->bytes + pieces->size + head_size, body, body_size);
    pieces->size += size;
}

/* Only whole pieces; `head_size` bytes of each, whose last four say how many follow. */
static size_t take_pieces(struct pieces *pieces, size_t head_size, uint8_t *into, size_t room)
{
    size_t size = 0;

    while (size < pieces->size) {
        uint32_t body;

        memcpy(&body, pieces->bytes + size + head_size - sizeof(body), sizeof(body));
        if (size + head_size + body > room)
            break;
        size += head_size + body;
    }
    if (size) {
        memcpy(into, pieces->bytes, size);
        memmove(pieces->bytes, pieces->bytes + size, pieces->size - size);
    }
    pieces->size -= size;
    return size;
}

struct output_head {
    uint64_t ns;
    uint16_t machine, stream;
    uint32_t size;
};

struct frame_head {
    uint64_t ns;
    uint32_t port, size;
};

static void add_output(uint64_t ns, unsigned machine, unsigned stream, const void *bytes, size_t size)
{
    struct output_head head = {ns, (uint16_t)machine, (uint16_t)stream, (uint32_t)size};

    add_piece(&lab.output, &head, sizeof(head), bytes, size);
}

static void add_frame(struct pieces *pieces, uint64_t ns, unsigned port, const struct frame *frame)
{
    struct frame_head head = {ns, port, frame->length};

    add_piece(pieces, &head, sizeof(head), frame->bytes, frame->length);
}

size_t lab_take_output(uint8_t *pieces, size_t room)
{
    return take_pieces(&lab.output, sizeof(struct output_head), pieces, room);
}

size_t lab_take_frames(uint8_t *pieces, size_t room)
{
    return take_pieces(&lab.frames, sizeof(struct frame_head), pieces, room);
}

size_t lab_take_observed(uint8_t *pieces, size_t room)
{
    return take_pieces(&lab.seen, sizeof(struct frame_head), pieces, room);
}

/* ---- what the fabric and the stations call ---------------------------------------------------------------------------------- */

static void keep_for_card(struct card *card, uint64_t due_ns, struct frame *frame)
{
    size_t at = card->count;

    if (card->count == card->room) {
        size_t room = card->room ? 2 * card->room : 64;
        struct waiting *more = realloc(card->waiting, room * sizeof(*more));

        if (!more)
            return;
        card->waiting = more;
        card->room = room;
    }
    for (; at > 0 && card->waiting[at - 1].due_ns > due_ns; at--)
        card->waiting[at] = card->waiting[at - 1];
    card->waiting[at] = (struct waiting){due_ns, frame};
    card->count++;
    frame->users++;
}

static void deliver(void *unused, unsigned port, uint64_t when, struct frame *frame)
{
    (void)unused;
    switch (lab.ports[port].kind) {
    case PORT_CARD:
        keep_for_card(&lab.machines[lab.ports[port].machine].cards[lab.ports[port].card], when, frame);
        break;
    case PORT_STATION:
        station_receive(port, when, frame->bytes, frame->length);
        break;
    default:
        add_frame(&lab.frames, when, port, frame);
        lab.news = true;
        break;
    }
}

static void seen(void *unused, uint64_t when, const struct frame *frame, const char *done)
{
    (void)unused;
    if (lab.capture)
        capture_frame(lab.capture, frame->port, when, frame->bytes, frame->length, done);
    if (lab.observed[lab.port_segment[frame->port]])
        add_frame(&lab.seen, when, frame->port, frame);
}

static uint64_t station_clock; /* the time at which a station acts */

static void station_sends(void *unused, unsigned port, const uint8_t *bytes, uint32_t length)
{
    uint8_t padded[CABLE_FRAME_MIN] = {0};

    (void)unused;
    if (length < CABLE_FRAME_MIN) {
        memcpy(padded, bytes, length);
        bytes = padded;
        length = CABLE_FRAME_MIN;
    }
    fabric_send(lab.fabric, port, station_clock, bytes, length);
}

static void station_news(void *unused)
{
    (void)unused;
    lab.news = true;
}

/* ---- life ------------------------------------------------------------------------------------------------------------------- */

size_t lab_shared_size(void)
{
    return sizeof(struct cable_shared);
}

int lab_open(int shared_fd, uint64_t seed, uint16_t first_record_port, uint16_t last_record_port)
{
    const struct fabric_calls calls = {.deliver = deliver, .seen = seen};
    const struct station_calls station_calls = {.send = station_sends, .news = station_news};

    if (lab.shared)
        return -1;
    lab.fabric = fabric_open(seed, &calls, first_record_port, last_record_port);
    if (!lab.fabric)
        return -1;
    lab.shared = mmap(NULL, sizeof(*lab.shared), PROT_READ | PROT_WRITE, MAP_SHARED, shared_fd, 0);
    if (lab.shared == MAP_FAILED) {
        lab.shared = NULL;
        fabric_close(lab.fabric);
        return -1;
    }
    station_init(seed, &station_calls);
    return 0;
}

int lab_capture(const char *path, uint32_t snap)
{
    lab.capture = capture_open(path, snap);
    return lab.capture ? 0 : -1;
}

void lab_close(void)
{
    for (unsigned i = 0; i < CABLE_MACHINES; i++)
        lab_remove_machine(i);
    if (lab.capture)
        capture_close(lab.capture);
    fabric_close(lab.fabric);
    munmap(lab.shared, sizeof(*lab.shared));
    free(lab.output.bytes);
    free(lab.frames.bytes);
    free(lab.seen.bytes);
    lab.shared = NULL;
}

/* ---- machines ----------------------------------------------------------------------------------------------------------------- */

static struct machine_page *page_of(unsigned machine)
{
    return &lab.shared->machines[machine];
}

static uint64_t ns_of(const struct machine *machine, uint64_t ticks)
{
    return machine->begin_ns + ticks * NS_PER_US / machine->mips;
}

/* The first tick that is not before that time. */
static uint64_t ticks_of(const struct machine *machine, uint64_t ns)
{
    return ns < machine->begin_ns ? 0 : ((ns - machine->begin_ns) * machine->mips + NS_PER_US - 1) / NS_PER_US;
}

/* A new machine has a grant of one tick, in which it boots its emulator: everybody waits for it. */
int lab_add_machine(uint64_t ips, uint32_t seed)
{
    for (unsigned i = 0; i < CABLE_MACHINES; i++) {
        struct machine *machine = &lab.machines[i];

        if (machine->used)
            continue;
        memset(page_of(i), 0, offsetof(struct machine_page, output));
        *page_of(i) = (struct machine_page){.version = CABLE_VERSION, .seed = seed, .ips = ips};
        *machine = (struct machine){.used = true, .running = true, .begin_ns = lab.now, .mips = ips / 1000000, .grant_ticks = 1};
        for (unsigned card = 0; card < CABLE_CARDS; card++)
            machine->cards[card].port = -1;
        __atomic_add_fetch(&lab.shared->running, 1, __ATOMIC_ACQ_REL);
        lab.granted = true;
        return (int)i;
    }
    return -1;
}

static void unplug(struct machine *machine)
{
    for (unsigned i = 0; i < CABLE_CARDS; i++) {
        struct card *card = &machine->cards[i];

        if (card->port >= 0)
            fabric_unplug(lab.fabric, (unsigned)card->port);
        while (card->count > 0)
            frame_release(card->waiting[--card->count].frame);
        free(card->waiting);
        *card = (struct card){.port = -1};
    }
}

static void flush_line(unsigned index)
{
    struct machine *machine = &lab.machines[index];

    if (machine->line_size)
        add_output(machine->line_ns, index, STREAM_LOG, machine->line, machine->line_size);
    machine->line_size = 0;
}

/* Its place stays taken: what it has printed carries its number. */
static void end_machine(unsigned index)
{
    struct machine *machine = &lab.machines[index];

    flush_line(index);
    unplug(machine);
    machine->state = MACHINE_ENDED;
    lab.news = true;
}

void lab_remove_machine(unsigned index)
{
    struct machine *machine = &lab.machines[index];

    if (!machine->used || machine->state == MACHINE_ENDED)
        return;
    if (machine->running && page_of(index)->reached < machine->grant_ticks && !page_of(index)->ended)
        __atomic_sub_fetch(&lab.shared->running, 1, __ATOMIC_ACQ_REL);
    machine->running = false;
    end_machine(index);
}

int lab_machine_state(unsigned machine)
{
    return lab.machines[machine].state;
}

uint64_t lab_machine_ticks(unsigned machine)
{
    return page_of(machine)->reached;
}

size_t lab_type(unsigned machine, unsigned stream, const uint8_t *bytes, size_t size)
{
    struct cable_typed *typed = &page_of(machine)->typed[stream];

    if (lab.machines[machine].state != MACHINE_RUNS)
        return 0;
    memmove(typed->bytes, typed->bytes + typed->taken, typed->count - typed->taken);
    typed->count -= typed->taken;
    typed->taken = 0;
    if (size > CABLE_INPUT - typed->count)
        size = CABLE_INPUT - typed->count;
    memcpy(typed->bytes + typed->count, bytes, size);
    typed->count += (uint32_t)size;
    return size;
}

/* ---- segments and ports --------------------------------------------------------------------------------------------------------- */

int lab_add_segment(const struct link_profile *profile)
{
    return fabric_add_segment(lab.fabric, profile);
}

static int add_port(unsigned segment, enum port_kind kind, const char *name)
{
    int port = fabric_add_port(lab.fabric, segment, kind == PORT_CARD);

    if (port < 0)
        return -1;
    lab.ports[port].kind = kind;
    lab.port_segment[port] = segment;
    if (lab.capture)
        capture_interface(lab.capture, name);
    return port;
}

int lab_add_card(unsigned segment, unsigned machine, unsigned card, const char *name)
{
    int port = add_port(segment, PORT_CARD, name);

    if (port < 0)
        return -1;
    lab.ports[port].machine = machine;
    lab.ports[port].card = card;
    lab.machines[machine].cards[card].port = port;
    return port;
}

int lab_add_station(unsigned segment, const char *address, const char *mask, const uint8_t *mac, const char *name)
{
    int port = add_port(segment, PORT_STATION, name);

    return port >= 0 && station_add((unsigned)port, address, mask, mac) ? port : -1;
}

int lab_add_raw(unsigned segment, const char *name)
{
    return add_port(segment, PORT_RAW, name);
}

int lab_add_fault(const struct fault *fault)
{
    return fabric_add_fault(lab.fabric, fault);
}

const struct fault *lab_fault(unsigned index)
{
    return fabric_fault(lab.fabric, index);
}

const struct fabric_counts *lab_counts(unsigned port)
{
    return fabric_counts(lab.fabric, port);
}

bool lab_send(unsigned port, const uint8_t *bytes, uint32_t length)
{
    return fabric_send(lab.fabric, port, lab.now, bytes, length);
}

void lab_observe(unsigned segment, bool on)
{
    lab.observed[segment] = on;
}

/* ---- a quantum ------------------------------------------------------------------------------------------------------------------ */

uint64_t lab_now(void)
{
    return lab.now;
}

uint64_t lab_quantum(void)
{
    uint64_t quantum = fabric_latency(lab.fabric);

    for (unsigned i = 0; i < CABLE_MACHINES; i++) {
        const struct machine *machine = &lab.machines[i];

        if (machine->used && machine->state != MACHINE_ENDED) {
            uint64_t most = CABLE_GRANT_TICKS_MAX / machine->mips * NS_PER_US;

            quantum = quantum < most ? quantum : most;
        }
    }
    return quantum;
}

/* What is due in the quantum goes into the machine's page. Beyond what a card holds by itself, frames are lost. */
static void hand_over(struct machine *machine, struct machine_page *page, uint64_t end)
{
    for (unsigned i = 0; i < CABLE_CARDS; i++) {
        struct card *card = &machine->cards[i];
        struct cable_frames *due = &page->due[i];
        size_t gone = 0;

        due->count = due->taken = 0;
        for (; gone < card->count && card->waiting[gone].due_ns < end && due->count < CABLE_FRAMES; gone++) {
            struct cable_frame *frame = &due->frames[due->count++];
            const struct waiting *waiting = &card->waiting[gone];

            frame->tick = ticks_of(machine, waiting->due_ns);
            frame->length = waiting->frame->length;
            memcpy(frame->bytes, waiting->frame->bytes, frame->length);
        }
    }
}

static void grant(unsigned index, uint64_t end)
{
    struct machine *machine = &lab.machines[index];
    struct machine_page *page = page_of(index);

    hand_over(machine, page, end);
    page->output_count = 0;
    for (unsigned i = 0; i < CABLE_CARDS; i++)
        page->sent[i].count = 0;
    machine->grant_ticks = page->granted = ticks_of(machine, end);
    machine->running = true;
    __atomic_add_fetch(&page->grant, 1, __ATOMIC_RELEASE);
    futex_wake(&page->grant);
}

static void drop_for_want_of_room(struct card *card, size_t at)
{
    struct frame *frame = card->waiting[at].frame;

    if (lab.capture)
        capture_frame(lab.capture, frame->port, lab.next, frame->bytes, frame->length, "lost: the receiver's card is full");
    frame_release(frame);
    card->count--;
    memmove(card->waiting + at, card->waiting + at + 1, (card->count - at) * sizeof(card->waiting[0]));
}

/* Forgets what a card has taken; of what it had no buffer for, as much stays as it holds by itself. */
static void take_back(struct machine *machine, const struct machine_page *page)
{
    for (unsigned i = 0; i < CABLE_CARDS; i++) {
        struct card *card = &machine->cards[i];
        size_t taken = page->due[i].taken, left = page->due[i].count - taken, held = 0;

        if (!page->due[i].count)
            continue;
        for (size_t n = 0; n < taken; n++)
            frame_release(card->waiting[n].frame);
        card->count -= taken;
        memmove(card->waiting, card->waiting + taken, card->count * sizeof(card->waiting[0]));
        for (size_t n = 0; n < left; n++)
            held += card->waiting[n].frame->length;
        for (; held > CARD_FIFO_BYTES; left--) {
            held -= card->waiting[left - 1].frame->length;
            drop_for_want_of_room(card, left - 1);
        }
    }
}

static void collect_output(unsigned index)
{
    struct machine *machine = &lab.machines[index];
    struct machine_page *page = page_of(index);

    for (uint32_t i = 0; i < page->output_count; i++) {
        const struct cable_output *byte = &page->output[i];
        uint64_t ns = ns_of(machine, byte->tick);

        if (byte->stream != STREAM_LOG) {
            add_output(ns, index, byte->stream, &byte->byte, 1);
            continue;
        }
        if (!machine->line_size)
            machine->line_ns = ns;
        machine->line[machine->line_size++] = (char)byte->byte;
        if (byte->byte == '\n' || machine->line_size == LINE_MAX_BYTES)
            flush_line(index);
    }
    page->output_count = 0;
}

/* Of all machines, in the order of their times: the next frame that was sent. False: there is none left. */
static bool next_sent(size_t next[CABLE_MACHINES][CABLE_CARDS])
{
    struct machine *first_machine = NULL;
    struct cable_frame *first = NULL;
    size_t *cursor = NULL;
    unsigned first_card = 0;
    uint64_t first_ns = UINT64_MAX;

    for (unsigned i = 0; i < CABLE_MACHINES; i++) {
        for (unsigned c = 0; c < CABLE_CARDS; c++) {
            struct machine *machine = &lab.machines[i];
            struct cable_frames *sent = &page_of(i)->sent[c];
            uint64_t ns;

            if (!machine->used || machine->state == MACHINE_ENDED || machine->cards[c].port < 0 || next[i][c] >= sent->count)
                continue;
            ns = ns_of(machine, sent->frames[next[i][c]].tick);
            if (ns < first_ns) {
                first_ns = ns;
                first = &sent->frames[next[i][c]];
                first_machine = machine;
                first_card = c;
                cursor = &next[i][c];
            }
        }
    }
    if (!first)
        return false;
    fabric_send(lab.fabric, (unsigned)first_machine->cards[first_card].port, first_ns, first->bytes, first->length);
    ++*cursor;
    return true;
}

static void collect(void)
{
    size_t next[CABLE_MACHINES][CABLE_CARDS] = {{0}};

    for (unsigned i = 0; i < CABLE_MACHINES; i++) {
        struct machine *machine = &lab.machines[i];

        if (!machine->used || machine->state == MACHINE_ENDED || !machine->running)
            continue;
        machine->running = false;
        machine->state = MACHINE_RUNS;
        take_back(machine, page_of(i));
        collect_output(i);
    }
    while (next_sent(next))
        continue;
    for (unsigned i = 0; i < CABLE_MACHINES; i++) {
        for (unsigned c = 0; c < CABLE_CARDS; c++)
            page_of(i)->sent[c].count = 0;
        if (lab.machines[i].used && lab.machines[i].state == MACHINE_RUNS && page_of(i)->ended)
            end_machine(i);
    }
}

/* All that happens before `now`: on the cables, and in the laboratory's own hosts, whose timers are among it. */
static void run_fabric(uint64_t now)
{
    for (;;) {
        uint64_t frame = fabric_next(lab.fabric), timer = station_next();

        if (frame >= now && timer >= now)
            return;
        if (timer < frame) {
            station_clock = timer;
            station_run(timer);
        } else {
            station_clock = frame;
            station_time(frame);
            fabric_run(lab.fabric, frame + 1);
        }
    }
}

int lab_waits_for(void)
{
    for (unsigned i = 0; i < CABLE_MACHINES; i++) {
        const struct machine *machine = &lab.machines[i];

        if (machine->used && machine->running && page_of(i)->reached < machine->grant_ticks && !page_of(i)->ended)
            return (int)i;
    }
    return -1;
}

/* False: somebody is still under way after LAB_PATIENCE_MS. */
static bool await_machines(void)
{
    const struct timespec patience = {.tv_nsec = LAB_PATIENCE_MS * 1000000L};
    uint32_t running = __atomic_load_n(&lab.shared->running, __ATOMIC_ACQUIRE);

    if (running)
        futex_wait(&lab.shared->running, running, &patience);
    for (unsigned tries = 0; tries < CABLE_MACHINES; tries++) {
        running = __atomic_load_n(&lab.shared->running, __ATOMIC_ACQUIRE);
        if (!running)
            return true;
        futex_wait(&lab.shared->running, running, &patience);
    }
    return __atomic_load_n(&lab.shared->running, __ATOMIC_ACQUIRE) == 0;
}

static void begin_quantum(uint64_t until)
{
    uint64_t quantum = lab_quantum();
    uint32_t count = 0;

    lab.next = until - lab.now < quantum ? until : lab.now + quantum;
    for (unsigned i = 0; i < CABLE_MACHINES; i++)
        count += lab.machines[i].used && lab.machines[i].state == MACHINE_RUNS;
    __atomic_store_n(&lab.shared->running, count, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < CABLE_MACHINES; i++) {
        if (lab.machines[i].used && lab.machines[i].state == MACHINE_RUNS)
            grant(i, lab.next);
    }
    lab.granted = true;
}

static void end_quantum(void)
{
    lab.granted = false;
    collect();
    if (lab.next > lab.now)
        lab.now = lab.next;
    run_fabric(lab.now);
    station_clock = lab.now;
    station_time(lab.now);
}

int lab_run(uint64_t until_ns, bool stop_at_news)
{
    lab.news = false;
    until_ns = (until_ns + NS_PER_US - 1) / NS_PER_US * NS_PER_US;     /* whole ticks of every machine */
    for (;;) {
        if (lab.granted) {
            if (!await_machines())
                return LAB_WAITING;
            end_quantum();
        }
        if (lab.news && stop_at_news)
            return LAB_NEWS;
        if (lab.now >= until_ns) {
            if (lab.capture)
                capture_flush(lab.capture);
            return LAB_THERE;
        }
        begin_quantum(until_ns);
    }
}
