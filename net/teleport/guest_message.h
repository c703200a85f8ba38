/*
 * GUEST, from both ends: what a source says of its guest, and what a target makes of that. The machine's map and the kinds
 * of its state follow from its configuration alone, so a target works both out for itself and refuses what differs: no
 * page is sent to a pod that could not load the state in the end. Pure.
 */
#ifndef TELEPOD_GUEST_MESSAGE_H
#define TELEPOD_GUEST_MESSAGE_H

#include <stddef.h>
#include "kernel/lib/err.h"
#include "kernel/lib/pod_config.h"
#include "net/teleport/messages.h"

/* Fills in configuration, memory map and kinds of state. Epoch, state, audit and policy are the caller's. ERR_NO_MEMORY. */
enum err guest_message_make(struct msg_guest *out, const struct guest_config *config, uint64_t memory_bytes,
                            uint64_t disk_bytes, enum msg_guest_state state);
/* The configuration of the machine that is to come; it may live on any CPU. */
void guest_message_config(const struct msg_guest *m, struct guest_config *out);
/* Would this pod make the same machine? ERR_UNSUPPORTED or ERR_INVALID, and in words what differs; ERR_NO_MEMORY. */
enum err guest_message_check_machine(const struct msg_guest *m, char *why, size_t why_size);
/* The first frame of those that travel: a guest that has ended leaves its RAM behind. */
uint64_t guest_message_first_frame(uint64_t memory_bytes, enum msg_guest_state state);

#endif
