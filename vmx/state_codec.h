/*
 * A machine's state without its memory, decoded, and its stream form: the sections of vmx/state.h one after the
 * other. Pure: host tests and fuzzers run it. Decoding believes nothing; *out counts only if it returns OK.
 */
#ifndef TELEPOD_STATE_CODEC_H
#define TELEPOD_STATE_CODEC_H

#include <stddef.h>
#include "kernel/lib/err.h"
#include "vmx/devices/lapic.h"
#include "vmx/devices/uart.h"
#include "vmx/vcpu_state.h"

struct vm_image {
    struct vcpu_state vcpu;
    struct lapic lapic;
    struct uart uart;
    struct state_clock clock;
};

size_t vm_image_size(void);     /* bytes of the stream form; always the same */
/* ERR_RANGE: the buffer is too small. */
enum err vm_image_encode(const struct vm_image *image, void *buffer, size_t size, size_t *used);
/* ERR_RANGE, ERR_INVALID, ERR_VERSION with the section and field in `why`. */
enum err vm_image_decode(struct vm_image *out, const void *buffer, size_t size, char *why, size_t why_size);

#endif
