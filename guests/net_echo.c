/*
 * net_echo: a guest on the network that watches time while it answers. It says who has its address (ARP), answers ping
 * (ICMP echo), and answers probes (UDP port 7777) with what its own clock has seen.
 *
 *     # net_echo: 02:...  address a.b.c.d  TSC hz            when it is ready
 *
 * Options: address=0xC0A84D32 (192.168.77.50), spin=1 (0: sleeps 1 ms a turn, so that the pod is not busy with it).
 *
 * It never sleeps while spin=1, so that every interval in which it did not run shows as a gap between two reads of the TSC
 * that follow each other; the longest one since the last probe that asked for a new count is kept. A probe's answer has:
 * the probe's number, the TSC at the answer, the TSC's frequency, and begin and end of the longest gap. An observer who
 * hears the answers and has a clock of his own can tell whether all this is true.
 *
 * With flood=N it also sends N full frames a turn to whoever asked it last, with storm=N to all; with spoof=1 these carry an
 * address that is not its own. With report=1 it says once a second how many frames it was shown that are not for it.
 */
#include <stddef.h>
#include <stdint.h>

#include "guests/lib/guest.h"
#include "guests/lib/insn.h"
#include "guests/lib/timer.h"
#include "guests/lib/virtio_net.h"

const char guest_name[] = "net_echo";

#define ADDRESS 0xC0A84D32u         /* 192.168.77.50 */
#define PROBE_PORT 7777
#define PROBE_MAGIC 0x31524250u     /* "PBR1" */
#define PROBE_NEW_COUNT 1u          /* flag: forget the longest gap after this answer */
#define TURN_HZ 1000

#define TYPE_IPV4 0x0800
#define TYPE_ARP 0x0806
#define ARP_REQUEST 1
#define ARP_REPLY 2
#define IPV4_NO_OPTIONS 0x45
#define PROTOCOL_ICMP 1
#define PROTOCOL_UDP 17
#define ICMP_ECHO_REQUEST 8
#define ICMP_CHECKSUM_STEP 0x0800   /* a reply's first word is less by this, so its checksum is more */

struct ethernet {
    uint8_t destination[6], source[6];
    uint16_t type;
} __attribute__((packed));

struct arp {
    struct ethernet ethernet;
    uint16_t hardware, protocol;
    uint8_t hardware_size, protocol_size;
    uint16_t operation;
    uint8_t sender_mac[6];
    uint32_t sender;
    uint8_t target_mac[6];
    uint32_t target;
} __attribute__((packed));

struct ipv4 {
    struct ethernet ethernet;
    uint8_t version, service;
    uint16_t length, identification, fragment;
    uint8_t life, protocol;
    uint16_t checksum;
    uint32_t source, destination;
} __attribute__((packed));

struct icmp {
    struct ipv4 ip;
    uint8_t type, code;
    uint16_t checksum;
} __attribute__((packed));

struct udp {
    struct ipv4 ip;
    uint16_t source_port, destination_port, length, checksum;
} __attribute__((packed));

/* Little-endian, as long in the question as in the answer. */
struct probe {
    struct udp udp;
    uint32_t magic, number, flags, reserved;
    uint64_t tsc, tsc_hz, gap_begin, gap_end, answers;
} __attribute__((packed));
_Static_assert(sizeof(struct probe) == 42 + 56, "tools/lab/probe.py");

static uint8_t mac[6];
static uint8_t asker[6];            /* whom the last answer went to */
static const uint8_t everybody[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
static uint32_t address;            /* network byte order */
static uint64_t gap_begin, gap_end, answers, tsc_hz, strangers;
static bool answered;

static uint16_t swap16(uint16_t value) { return (uint16_t)(value << 8 | value >> 8); }
static uint32_t swap32(uint32_t value) { return __builtin_bswap32(value); }

static void copy(uint8_t *to, const uint8_t *from, uint32_t size)
{
    while (size--)
        *to++ = *from++;
}

static bool same(const uint8_t *a, const uint8_t *b, uint32_t size)
{
    while (size--)
        if (*a++ != *b++)
            return false;
    return true;
}

/* ---- time ------------------------------------------------------------------------------------------------------ */

static void watch_time(void)
{
    static uint64_t last;
    uint64_t now = rdtsc();

    if (last && now - last > gap_end - gap_begin) {
        gap_begin = last;
        gap_end = now;
    }
    last = now;
}

/* ---- answers --------------------------------------------------------------------------------------------------- */

static void answer_to_sender(struct ethernet *ethernet, uint32_t size)
{
    copy(ethernet->destination, ethernet->source, sizeof(mac));
    copy(asker, ethernet->source, sizeof(mac));
    answered = true;
    copy(ethernet->source, mac, sizeof(mac));
    net_send(ethernet, size);
}

static void take_arp(struct arp *arp, uint32_t size)
{
    if (size < sizeof(*arp) || arp->operation != swap16(ARP_REQUEST) || arp->target != address)
        return;
    arp->operation = swap16(ARP_REPLY);
    copy(arp->target_mac, arp->sender_mac, sizeof(mac));
    arp->target = arp->sender;
    copy(arp->sender_mac, mac, sizeof(mac));
    arp->sender = address;
    answer_to_sender(&arp->ethernet, sizeof(*arp));
}

/* As an operating system does when it comes up (RFC 5227, 2.3): the LAN may remember this address in another place. */
static void announce(void)
{
    static struct arp arp;

    copy(arp.ethernet.destination, everybody, sizeof(mac));
    copy(arp.ethernet.source, mac, sizeof(mac));
    arp.ethernet.type = swap16(TYPE_ARP);
    arp.hardware = swap16(1);
    arp.protocol = swap16(TYPE_IPV4);
    arp.hardware_size = sizeof(mac);
    arp.protocol_size = sizeof(address);
    arp.operation = swap16(ARP_REQUEST);
    copy(arp.sender_mac, mac, sizeof(mac));
    arp.sender = arp.target = address;
    net_send(&arp, sizeof(arp));
}

static void answer_ipv4(struct ipv4 *ip, uint32_t size)
{
    /* Swapping the addresses leaves the header's checksum as it is. */
    ip->destination = ip->source;
    ip->source = address;
    answer_to_sender(&ip->ethernet, size);
}

static void take_icmp(struct icmp *icmp, uint32_t size)
{
    uint32_t checksum;

    if (size < sizeof(*icmp) || icmp->type != ICMP_ECHO_REQUEST)
        return;
    icmp->type = 0;
    checksum = (uint32_t)swap16(icmp->checksum) + ICMP_CHECKSUM_STEP;
    icmp->checksum = swap16((uint16_t)(checksum + (checksum >> 16)));
    answer_ipv4(&icmp->ip, size);
}

static void take_probe(struct probe *probe, uint32_t size)
{
    uint16_t port;

    if (size < sizeof(*probe) || probe->udp.destination_port != swap16(PROBE_PORT) || probe->magic != PROBE_MAGIC)
        return;
    port = probe->udp.source_port;
    probe->udp.source_port = probe->udp.destination_port;
    probe->udp.destination_port = port;
    probe->udp.checksum = 0;        /* RFC 768: none */
    probe->tsc_hz = tsc_hz;
    probe->gap_begin = gap_begin;
    probe->gap_end = gap_end;
    probe->answers = ++answers;
    if (probe->flags & PROBE_NEW_COUNT)
        gap_begin = gap_end = 0;
    probe->tsc = rdtsc();
    answer_ipv4(&probe->udp.ip, sizeof(*probe));
}

static void take_ipv4(struct ipv4 *ip, uint32_t size)
{
    if (size < sizeof(*ip) || ip->version != IPV4_NO_OPTIONS || ip->destination != address)
        return;
    if (ip->protocol == PROTOCOL_ICMP)
        take_icmp((struct icmp *)ip, size);
    else if (ip->protocol == PROTOCOL_UDP)
        take_probe((struct probe *)ip, size);
}

static void take(uint8_t *frame, uint32_t size)
{
    struct ethernet *ethernet = (void *)frame;

    if (size < sizeof(*ethernet))
        return;
    if (!(ethernet->destination[0] & 1) && !same(ethernet->destination, mac, sizeof(mac)))
        strangers++;
    else if (ethernet->type == swap16(TYPE_ARP))
        take_arp((struct arp *)frame, size);
    else if (ethernet->type == swap16(TYPE_IPV4))
        take_ipv4((struct ipv4 *)frame, size);
}

static void poll(void)
{
    uint32_t size;
    uint8_t *frame;

    while ((frame = net_receive(&size))) {
        take(frame, size);
        net_release();
    }
}

/* ---- misdeeds -------------------------------------------------------------------------------------------------- */

/* Frames of full size that nobody wants. */
static void misbehave(uint64_t count, const uint8_t destination[6], bool spoof)
{
    static uint8_t frame[NET_FRAME_MAX] __attribute__((section(".bss.cold")));

    copy(frame, destination, sizeof(mac));
    copy(frame + 6, mac, sizeof(mac));
    if (spoof)
        frame[11] ^= 0x55;
    frame[12] = 0x88;
    frame[13] = 0xb5;               /* IEEE 802, 9.2.4: local experimental */
    for (uint64_t i = 0; i < count; i++)
        net_send(frame, sizeof(frame));
}

static void report_strangers(void)
{
    static uint64_t next, told;
    uint64_t now = rdtsc();

    if (now < next)
        return;
    next = now + tsc_hz;
    print("net_echo: strangers %lu answers %lu turn %lu\n", strangers, answers, told++);
}

void guest_main(void)
{
    uint64_t spin = option_number("spin", 1, 0, 1), flood = option_number("flood", 0, 0, 1000);
    uint64_t storm = option_number("storm", 0, 0, 1000), spoof = option_number("spoof", 0, 0, 1);
    uint64_t report = option_number("report", 0, 0, 1), tick = 0;

    address = swap32((uint32_t)option_number("address", ADDRESS, 1, UINT32_MAX));
    tsc_hz = timer_tsc_hz();
    if (!net_open(mac))
        guest_fail("no network card, or it refuses");
    announce();
    if (!spin)
        timer_start(TURN_HZ);
    print("# net_echo: %02x:%02x:%02x:%02x:%02x:%02x address %08x TSC %lu Hz\n", mac[0], mac[1], mac[2], mac[3], mac[4],
          mac[5], swap32(address), tsc_hz);
    for (;;) {
        watch_time();
        poll();
        if (answered)
            misbehave(flood, asker, spoof);
        misbehave(storm, everybody, spoof);
        if (report)
            report_strangers();
        if (!spin) {
            timer_arm(++tick);
            timer_sleep();
        }
    }
}
