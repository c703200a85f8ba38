/* Each item is a number of at most 8 bytes, so one is made when a byte of it is read. */
#include "vmx/devices/fw_cfg.h"

#include "kernel/lib/util.h"

enum fw_cfg_item {
    ITEM_SIGNATURE = 0x00,
    ITEM_ID = 0x01,
    ITEM_CPUS = 0x05,
    ITEM_CPUS_MAX = 0x0f,
    ITEM_DIRECTORY = 0x19,      /* the number of files, 0 */
};

#define SIGNATURE 0x554d4551u   /* "QEMU" */
#define ID_TRADITIONAL 1u       /* by ports, and no DMA */

static uint64_t item(uint16_t selector, uint32_t vcpus)
{
    switch ((enum fw_cfg_item)selector) {
    case ITEM_SIGNATURE: return SIGNATURE;
    case ITEM_ID: return ID_TRADITIONAL;
    case ITEM_CPUS:
    case ITEM_CPUS_MAX: return vcpus;
    case ITEM_DIRECTORY: break;
    }
    return 0;
}

void fw_cfg_select(struct fw_cfg *fw_cfg, uint16_t selector)
{
    *fw_cfg = (struct fw_cfg){ .selector = selector };
}

uint8_t fw_cfg_read(struct fw_cfg *fw_cfg, uint32_t vcpus)
{
    if (fw_cfg->offset >= sizeof(uint64_t))
        return 0;
    return (uint8_t)(item(fw_cfg->selector, vcpus) >> 8 * fw_cfg->offset++);
}

static const struct field fw_cfg_fields[] = { FIELD(struct fw_cfg, selector, 0), FIELD(struct fw_cfg, offset, 0) };
const struct section fw_cfg_section = {
    .name = "fw-cfg", .version = 1, .fields = fw_cfg_fields, .field_count = ARRAY_SIZE(fw_cfg_fields),
    .struct_size = sizeof(struct fw_cfg),
};
