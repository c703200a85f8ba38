/*
 * The devices of a guest's PC, from reset or from a state that a peer may send, under any accesses at any times. No crash,
 * deadlines that lie ahead, and a state that a peer accepts again. The first byte chooses the device; with its highest bit
 * set, the device's state stands before the accesses.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "kernel/arch/msr.h"
#include "kernel/lib/util.h"
#include "tests/fakes/machine_image.h"
#include "vmx/mtrr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int promise)
{
    if (!promise)
        abort();
}

/* One access, from four bytes: what, where, and a value; the time goes on by what the last says. */
struct access {
    uint8_t what, where, value, later;
};

static void drive_pit(void *device, struct access a, struct machine_time time)
{
    struct pit *pit = device;
    switch (a.what % 4) {
    case 0: pit_read(pit, a.where, time); break;
    case 1: pit_write(pit, a.where, a.value, time); break;
    case 2: pit_read_control(pit, time); break;
    case 3: pit_write_control(pit, a.value, time); break;
    }
    pit_advance(pit, time);
    require(pit->next_edge > time.now || time.now == UINT64_MAX);
}

static void drive_rtc(void *device, struct access a, struct machine_time time)
{
    struct rtc *rtc = device;
    if (a.what & 1)
        rtc_write(rtc, 0, a.where, time);
    if (a.what & 2)
        rtc_write(rtc, 1, a.value, time);
    rtc_read(rtc, 1, time);
    rtc_advance(rtc, time);
    require(rtc_next_deadline(rtc, time) > time.now || time.now == UINT64_MAX);
}

static void drive_acpi_pm(void *device, struct access a, struct machine_time time)
{
    struct acpi_pm *pm = device;
    unsigned size = 1u << a.what % 3, offset = a.where % ACPI_PM_PORT_COUNT;
    acpi_pm_read(pm, offset, size, time);
    acpi_pm_write(pm, offset, size, a.value * 0x01010101u, time);
    acpi_pm_advance(pm, time);
    require(acpi_pm_next_deadline(pm, time) > time.now || time.now == UINT64_MAX);
}

static void drive_fw_cfg(void *device, struct access a, struct machine_time time)
{
    (void)time;
    if (a.what & 1)
        fw_cfg_select(device, (uint16_t)(a.where | a.value << 8));
    fw_cfg_read(device, a.value);
}

static const struct {
    struct pci_header header;
    struct pci_msix_capability msix;
    uint8_t window[20];
} pci_bytes = { .header = { .vendor_id = 1, .capabilities = 64 }, .msix = { .id = PCI_CAPABILITY_MSIX, .control = 3 } };
static const struct pci_model pci_model = {
    .config = &pci_bytes, .config_size = sizeof pci_bytes, .bar_size = { 0x4000, 0, 0x80000000u }, .msix_at = 64,
    .msix_vectors = 4, .msix_bar = 0, .msix_table = 0x1000, .msix_pba = 0x1800, .window_at = 76,
};

static void drive_pci(void *device, struct access a, struct machine_time time)
{
    struct pci_function *f = device;
    struct pci_message message;
    uint64_t offset = 0;
    unsigned size = 1u << a.what % 4;
    pci_config_write(&pci_model, f, a.where, size, a.value * 0x01010101u);
    pci_config_read(&pci_model, f, a.where, size);
    int bar = pci_bar_find(&pci_model, f, time.now, size, &offset);
    require(bar < 0 || (offset + size <= pci_model.bar_size[bar] && f->command & PCI_COMMAND_MEMORY));
    pci_msix_write(&pci_model, f, 0x1000 + a.where * 8ull, size, time.now);
    pci_msix_read(&pci_model, f, 0x1000 + a.where * 8ull, size);
    pci_msix_raise(&pci_model, f, a.value, &message);
    while (pci_msix_next(&pci_model, f, &message))
        ;
    pci_intx_level(f);
}

static void drive_uart(void *device, struct access a, struct machine_time time)
{
    struct uart *uart = device;
    uint8_t out;
    (void)time;
    uart_write(uart, a.where, a.value, &out);
    uart_read(uart, a.what);
    uart_receive(uart, "0123456789", a.later % 11);
    require(uart->fifo_head < UART_FIFO_SIZE && uart->fifo_count <= UART_FIFO_SIZE);
    require(uart->waiting_head < UART_WAITING_SIZE && uart->waiting_count <= UART_WAITING_SIZE);
}

static void drive_channel(void *device, struct access a, struct machine_time time)
{
    static struct pit pit;
    pit_reset(&pit);
    pit.channel[a.later % PIT_CHANNELS] = *(struct pit_channel *)device;
    drive_pit(&pit, a, time);
    *(struct pit_channel *)device = pit.channel[a.later % PIT_CHANNELS];
}

static void drive_pic(void *device, struct access a, struct machine_time time)
{
    static const uint16_t ports[] = { PIC_MASTER_COMMAND, PIC_MASTER_DATA, PIC_SLAVE_COMMAND, PIC_SLAVE_DATA,
                                      PIC_ELCR_MASTER, PIC_ELCR_SLAVE };
    struct pic *pic = device;
    uint16_t port = ports[a.where % ARRAY_SIZE(ports)];
    (void)time;
    switch (a.what % 4) {
    case 0: pic_read(pic, port); break;
    case 1: pic_write(pic, port, a.value); break;
    case 2: pic_set_irq(pic, a.where, a.value & 1); break;
    case 3:
        if (pic_output(pic))
            pic_acknowledge(pic);
        break;
    }
}

static void ignore_message(void *context, const struct apic_message *message) { (void)context, (void)message; }

static void drive_ioapic(void *device, struct access a, struct machine_time time)
{
    static const struct ioapic_output output = { ignore_message, NULL };
    struct ioapic *ioapic = device;
    (void)time;
    switch (a.what % 4) {
    case 0: ioapic_read(ioapic, a.where & 0x1f); break;
    case 1: ioapic_write(ioapic, a.where & 0x1f, a.value | (uint32_t)a.later << 8, &output); break;
    case 2: ioapic_set_line(ioapic, a.where, a.value & 1, &output); break;
    case 3: ioapic_eoi(ioapic, a.value, &output); break;
    }
}

static void drive_mtrr(void *device, struct access a, struct machine_time time)
{
    const unsigned address_bits = 39;
    uint32_t msr = a.what & 1 ? IA32_MTRRCAP : IA32_MTRR_DEF_TYPE - a.where;   /* the last of all but the first */
    uint64_t value;
    (void)time;
    if (!mtrr_is_msr(msr))
        return;
    require(mtrr_read(device, msr, &value));
    mtrr_write(device, msr, address_bits, a.later & 1 ? a.value : a.value * 0x0101010101010101ull << a.what % 64);
}

static const struct {
    const struct section *section;
    void (*drive)(void *device, struct access access, struct machine_time time);
} devices[] = {
    { &pit_section, drive_pit }, { &pit_channel_section, drive_channel }, { &rtc_section, drive_rtc },
    { &acpi_pm_section, drive_acpi_pm }, { &fw_cfg_section, drive_fw_cfg }, { &pci_function_section, drive_pci },
    { &uart_section, drive_uart }, { &pic_section, drive_pic }, { &ioapic_section, drive_ioapic },
    { &mtrr_section, drive_mtrr },
};

#define OBJECT_MAX 4096
#define HAS_STATE 0x80

/* As after power-on. */
static void power_on(const struct section *section, void *object)
{
    static const struct guest_config config = { .vcpus = 1, .devices = GUEST_DEVICES_ALL };
    static struct vm_image *machine;
    static struct state_part parts[VM_IMAGE_PARTS_MAX];
    static uint32_t count;
    uint32_t i = 0;
    if (!machine) {
        require((machine = fake_machine_new(config.vcpus)) != NULL);
        count = vm_image_parts(machine, &config, false, parts);
    }
    while (i < count && parts[i].section != section)
        i++;
    require(i < count);
    memcpy(object, parts[i].object, section->struct_size);
}

static void reload(const struct section *section, void *object)
{
    static uint8_t wire[OBJECT_MAX];
    char why[160] = "";
    section_save(section, object, wire);
    require(section_load(section, object, wire, section_wire_size(section), why, sizeof why) == OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static union { uint8_t bytes[OBJECT_MAX]; uint64_t align; } object;
    char why[160] = "";
    if (size < 2)
        return 0;
    unsigned device = (data[0] & ~HAS_STATE) % ARRAY_SIZE(devices);
    const struct section *section = devices[device].section;
    size_t at = 2, wire = section_wire_size(section);
    struct machine_time time = { FAKE_MACHINE_TSC, (uint64_t)(data[1] + 1) << 24 };
    require(section->struct_size <= OBJECT_MAX && wire <= OBJECT_MAX);
    power_on(section, &object);
    if (data[0] & HAS_STATE) {
        if (section_load(section, &object, data + at, MIN(wire, size - at), why, sizeof why) != OK)
            return 0;
        at += wire;
    }
    for (; at + 4 <= size; at += 4) {
        const struct access access = { data[at], data[at + 1], data[at + 2], data[at + 3] };
        uint64_t step = 1ull << (access.later & 63);
        time.now = time.now > UINT64_MAX - step ? UINT64_MAX : time.now + step;
        devices[device].drive(&object, access, time);
    }
    reload(section, &object);
    return 0;
}
