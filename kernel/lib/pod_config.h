/*
 * What telepod.ini says, decoded: a plain structure of bounded fields. The loader fills it (boot/config.c), the kernel
 * reads it from struct boot_info. All strings are NUL-terminated.
 */
#ifndef TELEPOD_POD_CONFIG_H
#define TELEPOD_POD_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include "kernel/lib/addr.h"

#define POD_NAME_MAX 32
#define FILE_NAME_MAX 64
#define POD_GUESTS_MAX 32
#define GUEST_CMDLINE_MAX 512
#define GUEST_VCPUS_MAX 16
#define GUEST_MEMORY_MAX (64 * GIB)     /* of RAM */
#define GUEST_DISK_MAX (64 * GIB)
#define GUEST_SIZE_RULE "a multiple of 2M up to 64G, like 32M"
#define GUEST_MAC_BYTES 6
#define POD_COMMAND_MAX 128
#define POD_COMMANDS_MAX 8

enum guest_console {
    GUEST_CONSOLE_LOG = 0, /* lines appear in the pod's log as "[guest] line"; always readable by `console` */
    GUEST_CONSOLE_COM2,    /* raw bytes go to the pod's second serial port, besides */
};

/* The virtio devices that a guest may have; bits of guest_config.devices. All else of its machine every guest has. */
enum guest_device {
    GUEST_DEVICE_NET = 1,
    GUEST_DEVICE_BLOCK = 2,     /* set exactly if the guest has a disk */
    GUEST_DEVICE_CONSOLE = 4,
    GUEST_DEVICE_ENTROPY = 8,
};
#define GUEST_DEVICES_ALL (GUEST_DEVICE_NET | GUEST_DEVICE_BLOCK | GUEST_DEVICE_CONSOLE | GUEST_DEVICE_ENTROPY)

/* One [guest NAME] section: a recipe that `start NAME` uses; it runs at boot when autostart is set. */
struct guest_config {
    char name[POD_NAME_MAX];          /* letters, digits, '-', '_' and '.', starts with a letter */
    char image[FILE_NAME_MAX];        /* a file of the image store: from \telepod\ on the boot volume, or uploaded */
    char initrd[FILE_NAME_MAX];       /* the same; empty: none */
    char disk[FILE_NAME_MAX];         /* what its disk holds at the start; empty: zeros, if it has a disk at all */
    char cmdline[GUEST_CMDLINE_MAX];  /* of the kernel, or of a teaching guest */
    uint64_t memory_bytes;            /* multiple of 2 MiB */
    uint64_t disk_bytes;              /* multiple of 2 MiB; 0: the disk file's size, rounded up */
    uint32_t vcpus;                   /* 1 to GUEST_VCPUS_MAX */
    uint32_t devices;                 /* enum guest_device bits */
    uint8_t mac[GUEST_MAC_BYTES];     /* of its network card; all zero: to be made from the pod's name and its own */
    uint16_t reserved;
    uint32_t cpu;                     /* host CPU index to run on, or POD_CPU_ANY */
    uint32_t console;                 /* enum guest_console */
    uint32_t autostart;               /* bool */
};
#define POD_CPU_ANY 0xffffffffu

/* IPv4 addresses are in network byte order, as lwIP's ip4_addr_t has them. */
struct pod_config {
    char name[POD_NAME_MAX];
    uint32_t dhcp;                    /* bool: address by DHCP; else the three below */
    uint32_t address, netmask, gateway;
    uint16_t control_port;            /* TCP, default 7000 */
    uint16_t teleport_port;           /* TCP, default 7001 */
    uint32_t nic;                     /* index of the NIC that carries control and teleports, default 0 */
    uint32_t lan;                     /* index of the NIC that is the guests' LAN, default nic */
    uint32_t apicv;                   /* bool: hardware APIC virtualization is used where the CPU has it, default yes */
    uint32_t guest_count;
    struct guest_config guests[POD_GUESTS_MAX];
    uint32_t command_count;           /* commands run once after boot, in order ([pod] run = ...; may repeat) */
    char commands[POD_COMMANDS_MAX][POD_COMMAND_MAX];
};

#endif
