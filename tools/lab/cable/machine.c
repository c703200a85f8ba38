/*
 * machine.c: loaded into every emulator of the laboratory; guarantees that the machine runs up to the tick that it was granted
 * and not one further, and that all that goes in or out of it carries the tick at which it does.
 *
 * It is two things in one library: a network module of Bochs's ("ethmod=cable, ethdev=CARD"), and, loaded before the C library
 * (LD_PRELOAD), the functions by which Bochs reaches the world beside the network: serial ports (open64, write, select, read),
 * port 0xE9 (putc), the seed of RDRAND (srand), and the order and the
 * dates of the files on its disk (readdir64, stat64). So no terminal, no pipe
 * and no file of the host's lies between a machine and the laboratory, and nothing of the host's decides what a machine sees.
 *
 * A timer's handler in Bochs may block: that is the barrier. What happens in a grant is a function of the machine and of what
 * the laboratory put into its page before, and of nothing else.
 *
 * The environment says where the page is: TELEPOD_CABLE=FD:INDEX, a descriptor of the shared memory and the machine's place in it.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/lab/cable/emulator.h"
#include "tools/lab/cable/futex.h"
#include "tools/lab/cable/shared.h"

enum { RETRY_US = 10, SPINS = 200, DIRECTORY_MAX = 1024, DATE = 946681200 };

static struct cable_shared *shared;
static struct machine_page *page;
static struct bochs_mover *cards[CABLE_CARDS];
static unsigned barrier_timer, receive_timer;
static int serial_fd[CABLE_STREAMS] = {-1, -1, -1};

static void die(const char *why)
{
    fprintf(stderr, "cable: %s\n", why);
    _exit(1);
}

/* The page, mapped when it is asked for first; NULL outside of an emulator of the laboratory's. */
static struct machine_page *own_page(void)
{
    const char *place = getenv("TELEPOD_CABLE");
    int fd, index;

    if (page || !bx_pc_system || !place)
        return page;
    if (sscanf(place, "%d:%d", &fd, &index) != 2 || index < 0 || index >= CABLE_MACHINES)
        die("TELEPOD_CABLE is not FD:INDEX");
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (shared == MAP_FAILED)
        die("the laboratory's memory cannot be mapped");
    page = &shared->machines[index];
    if (page->version != CABLE_VERSION)
        die("the laboratory is of another version than this module");
    return page;
}

/* ---- time --------------------------------------------------------------------------------------------------------- */

/* Exact: a tick is longer than two nanoseconds, and time_ns is rounded down. */
static uint64_t now_ticks(void)
{
    return (uint64_t)((double)bochs_time_ns(bx_pc_system) * (double)page->ips / 1e9 + 0.5);
}

static void come_to(uint64_t tick)
{
    page->reached = tick;
    if (__atomic_sub_fetch(&shared->running, 1, __ATOMIC_ACQ_REL) == 0)
        futex_wake(&shared->running);
}

static void await_grant(uint32_t grant)
{
    for (unsigned n = 0; n < SPINS; n++) {
        if (__atomic_load_n(&page->grant, __ATOMIC_ACQUIRE) != grant)
            return;
        __builtin_ia32_pause();
    }
    while (__atomic_load_n(&page->grant, __ATOMIC_ACQUIRE) == grant)
        futex_wait(&page->grant, grant, NULL);
}

static struct cable_frame *next_due(struct cable_frames *due)
{
    return due->taken < due->count ? &due->frames[due->taken] : NULL;
}

/* Sets the timer for the frame that is due first; at the earliest after `least` ticks. */
static void arm_receive(uint64_t least)
{
    uint64_t first = UINT64_MAX, now = now_ticks();

    for (unsigned card = 0; card < CABLE_CARDS; card++) {
        struct cable_frame *frame = next_due(&page->due[card]);

        if (frame && frame->tick < first)
            first = frame->tick;
    }
    if (first == UINT64_MAX)
        return;
    if (first < now + least)
        first = now + least;
    bochs_start_timer(bx_pc_system, receive_timer, first - now, false);
}

/* Comes to the end of a grant, and goes on with the next that gives it at least one tick. */
static void barrier(void *unused)
{
    uint64_t now = now_ticks();

    (void)unused;
    do {
        uint32_t grant = __atomic_load_n(&page->grant, __ATOMIC_ACQUIRE);

        come_to(now);
        await_grant(grant);
    } while (page->granted <= now);
    bochs_start_timer(bx_pc_system, barrier_timer, page->granted - now, false);
    arm_receive(0);
}

/* ---- frames --------------------------------------------------------------------------------------------------------- */

/* Gives the cards what is due. A card without a buffer is asked again a little later. */
static void receive_due(void *unused)
{
    uint64_t now = now_ticks(), least = 0;

    (void)unused;
    for (unsigned card = 0; card < CABLE_CARDS; card++) {
        struct bochs_mover *mover = cards[card];
        struct cable_frame *frame;

        while ((frame = next_due(&page->due[card])) && frame->tick <= now) {
            if (!(mover->status(mover->device) & CABLE_CARD_READY)) {
                least = page->ips / 1000000 * RETRY_US;
                break;
            }
            page->due[card].taken++;
            mover->receive(mover->device, frame->bytes, frame->length);
        }
    }
    arm_receive(least);
}

static unsigned card_of(const struct bochs_mover *mover)
{
    return mover == cards[0] ? 0 : 1;
}

static void send_frame(struct bochs_mover *mover, const void *bytes, unsigned length)
{
    struct cable_frames *sent = &page->sent[card_of(mover)];
    struct cable_frame *frame = &sent->frames[sent->count];

    if (length > CABLE_FRAME_MAX || sent->count == CABLE_FRAMES) {
        sent->lost++;
        return;
    }
    frame->tick = now_ticks();
    frame->length = length < CABLE_FRAME_MIN ? CABLE_FRAME_MIN : length;
    memcpy(frame->bytes, bytes, length);
    if (length < CABLE_FRAME_MIN)
        memset(frame->bytes + length, 0, CABLE_FRAME_MIN - length);
    sent->count++;
}

/* ---- the module ----------------------------------------------------------------------------------------------------- */

static void nothing(void *object)
{
    (void)object;
}

static void *mover_table[] = {NULL, NULL, (void *)send_frame, (void *)nothing, (void *)nothing};

/* eth_locator_c::allocate(): `device` is the configuration's ethdev, `card` the emulated card. */
static struct bochs_mover *allocate(struct bochs_locator *locator, const char *device, const char *mac, bochs_receive_fn receive,
                                    bochs_status_fn status, void *card, const char *script)
{
    struct bochs_mover *mover = calloc(1, sizeof(*mover));
    unsigned number = (unsigned)atoi(device);

    (void)locator, (void)mac, (void)script;
    if (!mover || !own_page() || number >= CABLE_CARDS || cards[number])
        die("no laboratory, or no such card on the cable");
    *mover = (struct bochs_mover){.table = mover_table + VTABLE_HEAD, .device = card, .receive = receive, .status = status};
    cards[number] = mover;
    page->cards |= 1u << number;
    if (!page->attached) {
        barrier_timer = (unsigned)bochs_register_timer(bx_pc_system, NULL, barrier, 1, false, true, "cable grant");
        receive_timer = (unsigned)bochs_register_timer(bx_pc_system, NULL, receive_due, 1, false, false, "cable receive");
        __atomic_store_n(&page->attached, 1, __ATOMIC_RELEASE);
    }
    return mover;
}

static void *locator_table[] = {NULL, NULL, (void *)nothing, (void *)nothing, (void *)allocate};
static struct bochs_locator locator;

__attribute__((constructor)) static void enter(void)
{
    if (!bx_pc_system || !bochs_locator_construct)
        return;
    bochs_locator_construct(&locator, "cable");
    locator.table = locator_table + VTABLE_HEAD;
}

__attribute__((destructor)) static void leave(void)
{
    if (!page || !page->attached)
        return;
    page->ended = 1;
    come_to(now_ticks());
}

/* What Bochs calls in the plug-in "eth_cable". */
int libeth_cable_plugin_entry(void *plugin, unsigned short type, unsigned char mode);
int libeth_cable_plugin_entry(void *plugin, unsigned short type, unsigned char mode)
{
    (void)plugin, (void)type;
    return mode == PLUGIN_PROBE ? PLUGIN_TYPE_NETWORK : 0;
}

/* ---- serial ports, port 0xE9 ------------------------------------------------------------------------------------------ */

static void print_byte(enum cable_stream stream, uint8_t byte)
{
    if (page->output_count == CABLE_OUTPUT)
        die("a machine printed more bytes in a grant than it has instructions");
    page->output[page->output_count++] = (struct cable_output){.tick = now_ticks(), .stream = (uint8_t)stream, .byte = byte};
}

/* The serial port behind a descriptor; 0, which is none, for all others. */
static enum cable_stream serial_of(int fd)
{
    for (enum cable_stream stream = STREAM_COM1; stream <= STREAM_COM2; stream++) {
        if (fd >= 0 && fd == serial_fd[stream])
            return stream;
    }
    return STREAM_LOG;
}

/* The configuration's "dev=com1" and "dev=com2" are no files. */
int open64(const char *path, int flags, ...)
{
    static int (*real)(const char *, int, ...);
    va_list more;
    mode_t mode;

    va_start(more, flags);
    mode = va_arg(more, mode_t);
    va_end(more);
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "open64");
    if (!own_page() || (strcmp(path, "com1") && strcmp(path, "com2")))
        return real(path, flags, mode);
    return serial_fd[path[3] == '1' ? STREAM_COM1 : STREAM_COM2] = real("/dev/null", O_RDWR);
}

ssize_t write(int fd, const void *bytes, size_t size)
{
    static ssize_t (*real)(int, const void *, size_t);
    enum cable_stream stream = serial_of(fd);

    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "write");
    if (!stream)
        return real(fd, bytes, size);
    for (size_t i = 0; i < size; i++)
        print_byte(stream, ((const uint8_t *)bytes)[i]);
    return (ssize_t)size;
}

int select(int count, fd_set *reading, fd_set *writing, fd_set *failing, struct timeval *timeout)
{
    static int (*real)(int, fd_set *, fd_set *, fd_set *, struct timeval *);
    enum cable_stream stream = serial_of(count - 1);

    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "select");
    if (!stream)
        return real(count, reading, writing, failing, timeout);
    return page->typed[stream].taken < page->typed[stream].count;
}

ssize_t read(int fd, void *bytes, size_t size)
{
    static ssize_t (*real)(int, void *, size_t);
    enum cable_stream stream = serial_of(fd);
    struct cable_typed *typed;

    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "read");
    if (!stream)
        return real(fd, bytes, size);
    typed = &page->typed[stream];
    if (typed->taken == typed->count || !size)
        return 0;
    *(uint8_t *)bytes = typed->bytes[typed->taken++];
    return 1;
}

/* Port 0xE9 is all that Bochs prints by this function. */
int putc(int byte, FILE *file)
{
    if (file != stdout || !page || !page->attached)
        return fputc(byte, file);
    print_byte(STREAM_LOG, (uint8_t)byte);
    return byte;
}

/* ---- what would differ from run to run, and from host to host ----------------------------------------------------------- */

void srand(unsigned seed)
{
    srandom(own_page() ? page->seed : seed);
}

/* The dates of files are on the boot volume. */
int stat64(const char *path, struct stat64 *found)
{
    static int (*real)(const char *, struct stat64 *);
    int result;

    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "stat64");
    result = real(path, found);
    if (result == 0 && own_page())
        found->st_atim = found->st_mtim = found->st_ctim = (struct timespec){.tv_sec = DATE};
    return result;
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(struct dirent64 *const *)a)->d_name, (*(struct dirent64 *const *)b)->d_name);
}

/* Entries by their names, not as the host's file system has them. Bochs reads one directory to its end, then the next. */
struct dirent64 *readdir64(DIR *directory)
{
    static struct dirent64 *(*real)(DIR *);
    static struct dirent64 *entries[DIRECTORY_MAX];
    static DIR *current;
    static unsigned count, next;

    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "readdir64");
    if (!own_page())
        return real(directory);
    if (directory != current) {
        struct dirent64 *entry;

        current = directory;
        while (count > 0)
            free(entries[--count]);
        for (count = next = 0; (entry = real(directory)); count++) {
            if (count == DIRECTORY_MAX)
                die("a directory has too many files");
            entries[count] = malloc(entry->d_reclen);
            if (!entries[count])
                die("no memory");
            memcpy(entries[count], entry, entry->d_reclen);
        }
        qsort(entries, count, sizeof(entries[0]), by_name);
    }
    if (next < count)
        return entries[next++];
    current = NULL;
    return NULL;
}
