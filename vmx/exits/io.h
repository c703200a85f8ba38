/* Between IN/OUT (io.c) and INS/OUTS (io_string.c): the exit qualification. */
#ifndef TELEPOD_EXITS_IO_H
#define TELEPOD_EXITS_IO_H

#include <stdint.h>
#include "kernel/lib/util.h"
#include "vmx/exits/exits.h"

/* SDM Table 28-5 "Exit Qualification for I/O Instructions" */
#define IO_SIZE(q) ((unsigned)((q) & 7) + 1)
#define IO_IN BIT(3)
#define IO_STRING BIT(4)
#define IO_REP BIT(5)
#define IO_PORT(q) ((uint16_t)((q) >> 16))

enum exit_action exit_io_string(struct vcpu *vcpu, uint64_t qualification);

#endif
