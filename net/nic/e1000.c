/*
 * Bring-up of Intel's 8254x and 82574 (SDM-8254x chapter 14 "General Initialization and Reset Operation").
 * Every wait for the card is bounded: one that does not answer costs milliseconds and a sentence in the log.
 */
#include "net/nic/e1000.h"

#include <stdlib.h>
#include <string.h>
#include "kernel/interrupt.h"
#include "kernel/log.h"
#include "kernel/pci.h"
#include "kernel/time.h"
#include "mm/paging.h"

#define PCI_VENDOR_INTEL 0x8086
#define RESET_WAIT_US 10000
#define EEPROM_WAIT_US 1000
#define INTERRUPT_TEST_WAIT_US 10000
#define REGISTER_GONE 0xffffffffu /* what a read of a device that is not there gives */

static const struct e1000_model models[] = {
    { 0x1008, "82544EI", false },
    { 0x100c, "82544GC", false },
    { 0x100e, "82540EM", false },
    { 0x100f, "82545EM", false },
    { 0x1010, "82546EB", false },
    { 0x10d3, "82574L", true },
};

static const struct e1000_model *model_of(const struct pci_device *device)
{
    for (size_t i = 0; i < ARRAY_SIZE(models); i++)
        if (device->vendor_id == PCI_VENDOR_INTEL && device->device_id == models[i].device_id)
            return &models[i];
    return NULL;
}

static const struct pci_device *find(uint32_t index, const struct e1000_model **model)
{
    for (uint32_t i = 0; i < pci_count(); i++) {
        const struct pci_device *device = pci_get(i);

        *model = model_of(device);
        if (*model && index-- == 0)
            return device;
    }
    return NULL;
}

/* Waits until (register & mask) == want; false if it did not come in time. */
static bool wait_for(const struct nic *nic, uint32_t offset, uint32_t mask, uint32_t want, uint64_t us)
{
    uint64_t deadline = time_after_us(us);

    while ((e1000_read(nic, offset) & mask) != want) {
        if (time_now() > deadline)
            return false;
        __builtin_ia32_pause();
    }
    return true;
}

static void quiesce(struct nic *nic)
{
    e1000_write(nic, REG_IMC, INTERRUPT_ALL);
    e1000_write(nic, REG_RCTL, 0);
    e1000_write(nic, REG_TCTL, 0);
}

/* The firmware may have used the card. Bochs ignores CTRL.RST, hence quiesce() before and after. */
static enum err reset(struct nic *nic)
{
    if (e1000_read(nic, REG_STATUS) == REGISTER_GONE)
        return ERR_UNSUPPORTED;
    quiesce(nic);
    e1000_write(nic, REG_CTRL, e1000_read(nic, REG_CTRL) | (uint32_t)CTRL_RST);
    wait_for(nic, REG_CTRL, (uint32_t)CTRL_RST, 0, RESET_WAIT_US);
    quiesce(nic);
    e1000_read(nic, REG_ICR);
    return OK;
}

static bool eeprom_read(struct nic *nic, uint32_t word, uint16_t *out)
{
    uint32_t done = nic->model->is_82574 ? EERD_DONE_82574 : EERD_DONE;
    uint32_t shift = nic->model->is_82574 ? EERD_ADDR_SHIFT_82574 : EERD_ADDR_SHIFT;

    e1000_write(nic, REG_EERD, word << shift | (uint32_t)EERD_START);
    if (!wait_for(nic, REG_EERD, done, done, EEPROM_WAIT_US))
        return false;
    *out = (uint16_t)(e1000_read(nic, REG_EERD) >> EERD_DATA_SHIFT);
    return true;
}

/* A reset loads the address into RAL/RAH; where it did not (Bochs), it is read from the EEPROM. */
static enum err find_mac(struct nic *nic)
{
    uint32_t low = e1000_read(nic, REG_RAL0), high = e1000_read(nic, REG_RAH0);
    uint16_t words[EEPROM_MAC_WORDS] = { (uint16_t)low, (uint16_t)(low >> 16), (uint16_t)high };

    if (!low && !words[2])
        for (uint32_t i = 0; i < EEPROM_MAC_WORDS; i++)
            if (!eeprom_read(nic, i, &words[i]))
                return ERR_UNSUPPORTED;
    memcpy(nic->mac, words, sizeof(nic->mac));
    /* A group address or none at all is no station's. */
    return (nic->mac[0] & 1) || !(words[0] | words[1] | words[2]) ? ERR_UNSUPPORTED : OK;
}

static void set_filters(struct nic *nic)
{
    uint32_t low, high = 0;

    memcpy(&low, nic->mac, sizeof(low));
    memcpy(&high, nic->mac + sizeof(low), sizeof(nic->mac) - sizeof(low));
    e1000_write(nic, REG_RAL0, low);
    e1000_write(nic, REG_RAH0, high | (uint32_t)RAH_AV);
    for (uint32_t i = 0; i < MTA_COUNT; i++)
        e1000_write(nic, REG_MTA + i * sizeof(uint32_t), 0);
}

/* SDM-8254x 14.4 "Receive Initialization", 14.5 "Transmit Initialization". */
static void start(struct nic *nic)
{
    e1000_write(nic, REG_CTRL, e1000_read(nic, REG_CTRL) | (uint32_t)(CTRL_SLU | CTRL_ASDE));
    if (nic->model->is_82574)
        e1000_write(nic, REG_CTRL_EXT, e1000_read(nic, REG_CTRL_EXT) | (uint32_t)CTRL_EXT_DRV_LOAD);
    set_filters(nic);
    e1000_ring_start(nic);
    /* An interrupt masks itself (nic.h), so delaying it gains nothing: the first frame of a burst reports at
       once. */
    e1000_write(nic, REG_RDTR, 0);
    e1000_write(nic, REG_RADV, 0);
    e1000_write(nic, REG_ITR, 0);
    e1000_write(nic, REG_RXCSUM, (uint32_t)(RXCSUM_IPOFL | RXCSUM_TUOFL));
    e1000_write(nic, REG_TXDCTL, (uint32_t)(TXDCTL_GRAN | TXDCTL_WTHRESH(1)
                                            | (nic->model->is_82574 ? TXDCTL_COUNT_DESC : 0)));
    e1000_write(nic, REG_TIPG, TIPG_COPPER);
    e1000_write(nic, REG_TCTL, (uint32_t)(TCTL_EN | TCTL_PSP | TCTL_CT(15) | TCTL_COLD(0x40)
                                          | (nic->model->is_82574 ? TCTL_MULR : 0)));
    e1000_write(nic, REG_RCTL, (uint32_t)(RCTL_EN | RCTL_BAM | RCTL_SECRC));
    e1000_ring_set_context(nic);
}

/* Masks itself until nic_enable_interrupts. The line may be shared: no cause of ours, no action. */
static void handle_interrupt(void *arg)
{
    struct nic *nic = arg;

    if (!(e1000_read(nic, REG_ICR) & INTERRUPTS_WANTED))
        return;
    e1000_write(nic, REG_IMC, INTERRUPT_ALL);
    nic->stats.interrupts++;
    nic->client.interrupt(nic->client.context);
}

/* Does a cause that the driver sets itself come back as an interrupt? */
static bool interrupt_arrives(struct nic *nic)
{
    uint64_t deadline = time_after_us(INTERRUPT_TEST_WAIT_US), before = nic->stats.interrupts;

    e1000_write(nic, REG_IMS, INTERRUPTS_WANTED);
    e1000_write(nic, REG_ICS, (uint32_t)INTERRUPT_LSC);
    while (nic->stats.interrupts == before && time_now() < deadline)
        interrupt_window();
    e1000_write(nic, REG_IMC, INTERRUPT_ALL);
    return nic->stats.interrupts != before;
}

static enum err bring_up(struct nic *nic, const struct pci_device *device)
{
    volatile void *registers;
    uint64_t size;
    struct hpa base;
    enum err err;

    pci_enable(device);
    err = pci_bar(device, 0, &base, &size);
    if (err == OK && size < E1000_REGISTERS_SIZE)
        err = ERR_UNSUPPORTED;
    if (err == OK)
        err = paging_map_mmio(base, E1000_REGISTERS_SIZE, &registers);
    if (err != OK)
        return err;
    nic->registers = registers;
    err = reset(nic);
    if (err == OK)
        err = find_mac(nic);
    if (err == OK)
        err = e1000_ring_alloc(nic);
    return err;
}

enum err nic_open(uint32_t index, const struct nic_client *client, struct nic **out)
{
    const struct e1000_model *model;
    const struct pci_device *device = find(index, &model);
    struct nic *nic;
    enum err err;

    if (!device)
        return ERR_NOT_FOUND;
    nic = calloc(1, sizeof(*nic));
    if (!nic)
        return ERR_NO_MEMORY;
    nic->model = model;
    nic->client = *client;
    err = bring_up(nic, device);
    if (err != OK) {
        log_error("nic", "%s at %02x:%02x.%x: no registers, no address or no memory (%s)", model->name,
                  device->bus, device->device, device->function, err_name(err));
        free(nic);
        return err;
    }
    start(nic);
    err = pci_register_interrupt(device, handle_interrupt, nic);
    nic->has_interrupts = err == OK && interrupt_arrives(nic);
    if (!nic->has_interrupts)
        log_error("nic", "%s: its interrupt does not arrive, polling instead", model->name);
    *out = nic;
    return OK;
}

void nic_set_promiscuous(struct nic *nic, bool on)
{
    uint32_t control = e1000_read(nic, REG_RCTL) & (uint32_t)~(RCTL_UPE | RCTL_MPE);

    e1000_write(nic, REG_RCTL, on ? control | (uint32_t)(RCTL_UPE | RCTL_MPE) : control);
}

void nic_enable_interrupts(struct nic *nic)
{
    /* A cause that came while masked is still in ICR, and interrupts now. */
    e1000_write(nic, REG_IMS, INTERRUPTS_WANTED);
}

bool nic_has_interrupts(const struct nic *nic)
{
    return nic->has_interrupts;
}

uint32_t nic_link_mbit(struct nic *nic)
{
    static const uint32_t speeds[STATUS_SPEED_MASK + 1] = { 10, 100, 1000, 1000 };
    uint32_t status = e1000_read(nic, REG_STATUS);

    return status & STATUS_LU ? speeds[status >> STATUS_SPEED_SHIFT & STATUS_SPEED_MASK] : 0;
}

const uint8_t *nic_mac(const struct nic *nic)
{
    return nic->mac;
}

const char *nic_model(const struct nic *nic)
{
    return nic->model->name;
}

const struct nic_stats *nic_get_stats(const struct nic *nic)
{
    return &nic->stats;
}
