/*
 * emulator.h: what Bochs 3.1 exports to a network module, as far as it is used here: iodev/network/netmod.h and pc_system.h of
 * its source, with C++'s classes written out as the tables that the Itanium C++ ABI makes of them.
 *
 * All of it is weak: this library is also loaded into the shell that starts Bochs, where none of it exists.
 */
#ifndef TELEPOD_TOOLS_LAB_CABLE_EMULATOR_H
#define TELEPOD_TOOLS_LAB_CABLE_EMULATOR_H

#include <stdbool.h>
#include <stdint.h>

/* A virtual table begins with the offset to the top of the object and its type information; an object points behind them. */
enum { VTABLE_HEAD = 2 };

/* Gives a frame to the card `device`; asks whether it has a buffer for one (CABLE_CARD_READY). */
typedef void (*bochs_receive_fn)(void *device, const void *frame, unsigned length);
typedef uint32_t (*bochs_status_fn)(void *device);

/* class eth_pktmover_c: one end of a cable. Its table: sendpkt(buffer, length), and two destructors. */
struct bochs_mover {
    void **table;
    void *device;
    bochs_receive_fn receive;
    bochs_status_fn status;
};

/* class eth_locator_c: makes them, by the name of the module. Its table: two destructors, allocate(). */
struct bochs_locator {
    void **table;
    struct bochs_locator *next;
    const char *type;
};

extern void bochs_locator_construct(struct bochs_locator *locator, const char *type)
    __asm__("_ZN13eth_locator_cC2EPKc") __attribute__((weak));

/* class bx_pc_system_c: the machine's time. */
extern char bx_pc_system[] __attribute__((weak));
extern int bochs_register_timer(void *system, void *argument, void (*fired)(void *argument), uint64_t ticks, bool repeat,
                                bool active, const char *name)
    __asm__("_ZN14bx_pc_system_c20register_timer_ticksEPvPFvS0_EmbbPKc") __attribute__((weak));
/* From now on; 0 ticks are taken as 1. */
extern void bochs_start_timer(void *system, unsigned timer, uint64_t ticks, bool repeat)
    __asm__("_ZN14bx_pc_system_c20activate_timer_ticksEjmb") __attribute__((weak));
/* Nanoseconds since power-on, rounded down. */
extern uint64_t bochs_time_ns(void *system) __asm__("_ZN14bx_pc_system_c9time_nsecEv") __attribute__((weak));

/* What Bochs asks a plug-in for: its kind when it looks for plug-ins; all else is agreed to. */
enum { PLUGIN_PROBE = 2, PLUGIN_TYPE_NETWORK = 0x400 };

#endif
