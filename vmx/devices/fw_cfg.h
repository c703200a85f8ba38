/*
 * A little of QEMU's firmware configuration device (docs/specs/fw_cfg.rst of QEMU): what programs for bare machines ask
 * for, above all the number of processors. Selector at port 510h, data byte by byte at 511h; no DMA, no files. Pure.
 */
#ifndef TELEPOD_DEVICES_FW_CFG_H
#define TELEPOD_DEVICES_FW_CFG_H

#include <stdint.h>
#include "vmx/fields.h"

struct fw_cfg {
    uint16_t selector;
    uint32_t offset;            /* of the next byte in the selected item */
};
extern const struct section fw_cfg_section;

void fw_cfg_select(struct fw_cfg *fw_cfg, uint16_t selector);
/* The next byte of the item; 0 behind its end, and for an item that is not there. */
uint8_t fw_cfg_read(struct fw_cfg *fw_cfg, uint32_t vcpus);

#endif
