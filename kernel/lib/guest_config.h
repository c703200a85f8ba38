/*
 * Rules over a whole struct guest_config that telepod.ini, the command `start` and a teleport's target share. Pure.
 */
#ifndef TELEPOD_GUEST_CONFIG_H
#define TELEPOD_GUEST_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "kernel/lib/pod_config.h"

#define GUEST_DEVICE_COUNT 4
/* Word n stands for bit n of guest_config.devices. */
extern const char *const guest_device_names[GUEST_DEVICE_COUNT];

#define GUEST_DEVICES_TEXT_MAX 32
/* "net, block", or "none". Returns out. */
const char *guest_devices_format(uint32_t devices, char out[GUEST_DEVICES_TEXT_MAX]);

#define GUEST_MAC_TEXT_MAX sizeof("aa:bb:cc:dd:ee:ff")
/* Returns out. */
const char *guest_mac_format(const uint8_t mac[GUEST_MAC_BYTES], char out[GUEST_MAC_TEXT_MAX]);

bool guest_mac_is_zero(const uint8_t mac[GUEST_MAC_BYTES]);

/*
 * The MAC of a guest that was given none: locally administered, of one station, and the same at every start. `attempt` > 0
 * gives others, for the case that somebody has that one already.
 */
void guest_mac_make(uint8_t out[GUEST_MAC_BYTES], const char *pod, const char *guest, uint32_t attempt);

/* Sets what follows from the rest (a disk brings its device); what does not go together, in words, or NULL. */
const char *guest_config_finish(struct guest_config *config);

#endif
