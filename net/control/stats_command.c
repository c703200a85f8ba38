/* stats: every counter that the pod has, by the clock or the counter that is named. All that should return to where it was. */
#include "kernel/console.h"
#include "kernel/cpu.h"
#include "kernel/lib/util.h"
#include "kernel/thread.h"
#include "kernel/time.h"
#include "mm/heap.h"
#include "mm/page.h"
#include "mm/paging.h"
#include "net/control/handlers.h"
#include "net/net.h"
#include "net/switch.h"
#include "vmx/stats.h"
#include "vmx/vm.h"

#include <stdio.h>

const char *control_format_address(uint32_t address, char out[CONTROL_ADDRESS_MAX])
{
    /* Network byte order: the first byte in memory is the first of the text. */
    const uint8_t *bytes = (const uint8_t *)&address;

    snprintf(out, CONTROL_ADDRESS_MAX, "%u.%u.%u.%u", bytes[0], bytes[1], bytes[2], bytes[3]);
    return out;
}

static void guest_stats(struct json *j, const char *key, const struct vm *vm)
{
    struct vmx_exit_count counts[VMX_EXIT_REASONS];
    uint32_t count = vm_exit_counts(vm, counts, VMX_EXIT_REASONS);
    uint64_t total = 0;

    json_object_begin(j, key);
    json_string(j, "name", vm->name);
    json_string(j, "state", vm_state_name(vm->state));
    json_u64(j, "memory_bytes", vm->config.memory_bytes);
    json_u64(j, "guest_ticks", vm_guest_ticks(vm));
    json_u64(j, "guest_us", time_to_us(vm_guest_ticks(vm)));
    json_object_begin(j, "exits");
    for (uint32_t i = 0; i < count; i++) {
        json_u64(j, counts[i].name, counts[i].count);
        total += counts[i].count;
    }
    json_object_end(j);
    json_u64(j, "exits_total", total);
    if (vm->config.devices & GUEST_DEVICE_NET) {
        json_object_begin(j, "card");
        json_u64(j, "received", vm->virtio.received);
        json_u64(j, "missed", vm->virtio.missed);               /* it was paused, or had no buffer */
        json_u64(j, "dropped", vm->platform.virtio[VIRTIO_NET].dropped); /* by the card, in either direction */
        json_object_end(j);
    }
    json_object_end(j);
}

static void cpu_stats(struct json *j)
{
    json_array_begin(j, "cpus");
    for (uint32_t i = 0; i < cpu_count(); i++) {
        const struct cpu *cpu = cpu_by_index(i);

        json_object_begin(j, NULL);
        json_u64(j, "index", i);
        json_u64(j, "apic_id", cpu->apic_id);
        json_u64(j, "interrupts", cpu->interrupts);
        json_u64(j, "idle_us", time_to_us(cpu->idle_tsc));
        json_object_end(j);
    }
    json_array_end(j);
}

static void memory_stats(struct json *j)
{
    json_object_begin(j, "pages");
    json_u64(j, "total", page_total_count());
    json_u64(j, "free", page_free_count());
    json_u64(j, "free_large", page_free_large_count());
    json_u64(j, "pooled", paging_pooled_pages());   /* of ended threads' stacks, kept for the next ones */
    json_object_end(j);
    json_object_begin(j, "heap");
    json_u64(j, "bytes", heap_used_bytes());
    json_u64(j, "blocks", heap_block_count());
    json_u64(j, "mapped", heap_mapped_bytes());     /* of pages, which it keeps */
    json_object_end(j);
    json_u64(j, "threads", thread_live_count());
}

static void network_stats(struct json *j)
{
    char address[CONTROL_ADDRESS_MAX], mac[sizeof("00:00:00:00:00:00")];
    struct net_stats s;

    net_get_stats(&s);
    snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", s.mac[0], s.mac[1], s.mac[2], s.mac[3], s.mac[4],
             s.mac[5]);
    json_object_begin(j, "net");
    json_string(j, "driver", s.driver ? s.driver : "none");
    json_string(j, "mac", mac);
    json_string(j, "address", control_format_address(net_address(), address));
    json_u64(j, "link_mbit", s.link_mbit);
    json_u64(j, "interrupts", s.interrupts);
    json_u64(j, "rx_frames", s.rx_frames);
    json_u64(j, "rx_bytes", s.rx_bytes);
    json_u64(j, "rx_dropped", s.rx_dropped);
    json_u64(j, "tx_frames", s.tx_frames);
    json_u64(j, "tx_bytes", s.tx_bytes);
    json_u64(j, "tx_dropped", s.tx_dropped);
    json_u64(j, "tcp_retransmissions", s.tcp_retransmissions);
    json_u64(j, "pbufs", s.pbufs_in_use);
    json_u64(j, "tcp_pcbs", s.tcp_pcbs_active);
    json_u64(j, "streams", stream_live_count());
    json_object_end(j);
}

/* The guests' ports: what is dropped there, nobody else tells. */
static void switch_stats(struct json *j)
{
    struct switch_port *port;

    json_array_begin(j, "switch");
    for (uint32_t i = 0; (port = switch_port_by_index(i)); i++) {
        struct switch_port_stats s;

        switch_port_get_stats(port, &s);
        json_object_begin(j, NULL);
        json_string(j, "guest", switch_port_name(port));
        json_u64(j, "sent", s.sent);
        json_u64(j, "sent_bytes", s.sent_bytes);
        json_u64(j, "received", s.received);
        json_u64(j, "received_bytes", s.received_bytes);
        json_u64(j, "dropped_full", s.dropped_full);
        json_u64(j, "dropped_wire", s.dropped_wire);
        json_u64(j, "dropped_source", s.dropped_source);
        json_u64(j, "dropped_other", s.dropped_other);
        json_u64(j, "seen_elsewhere", s.seen_elsewhere);
        json_object_end(j);
    }
    json_array_end(j);
}

static void pod_stats(struct session *session)
{
    struct json *j = &session->json;

    session_begin_reply(session);
    json_string(j, "pod", control_boot_info()->config.name);
    json_u64(j, "uptime_us", time_to_us(time_now()));
    json_u64(j, "tsc", time_now());
    json_u64(j, "tsc_hz", time_tsc_hz());
    json_string(j, "tsc_hz_measured_by", time_calibration_source());
    json_string(j, "vmx", vmx_available() ? "on" : vmx_unavailable_reason());
    json_u64(j, "com2_bytes", console_com2_taken());
    cpu_stats(j);
    memory_stats(j);
    network_stats(j);
    switch_stats(j);
    json_array_begin(j, "guests");
    for (uint32_t i = 0; i < VMS_MAX; i++) {
        const struct vm *vm = vm_by_index(i);

        if (vm)
            guest_stats(j, NULL, vm);
    }
    json_array_end(j);
    session_send(session);
}

void handle_stats(struct session *session, const struct command *command)
{
    const struct vm *vm;

    if (!command->argument_count) {
        pod_stats(session);
        return;
    }
    vm = control_find_guest(session, command);
    if (!vm)
        return;
    session_begin_reply(session);
    guest_stats(&session->json, "guest", vm);
    session_send(session);
}
