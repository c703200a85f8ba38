/*
 * The devices of a guest's PC from a state that a peer may send, under any accesses at any times. No crash, deadlines that
 * lie ahead, and a state that a peer accepts again. The first byte chooses the device, then comes its state.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "kernel/lib/util.h"
#include "vmx/devices/acpi_pm.h"
#include "vmx/devices/fw_cfg.h"
#include "vmx/devices/pci.h"
#include "vmx/devices/pit.h"
#include "vmx/devices/rtc.h"
#include "vmx/devices/uart.h"

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

static const struct {
    const struct section *section;
    void (*drive)(void *device, struct access access, struct machine_time time);
} devices[] = {
    { &pit_section, drive_pit }, { &pit_channel_section, drive_channel }, { &rtc_section, drive_rtc },
    { &acpi_pm_section, drive_acpi_pm }, { &fw_cfg_section, drive_fw_cfg }, { &pci_function_section, drive_pci },
    { &uart_section, drive_uart },
};

#define OBJECT_MAX 4096

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
    unsigned device = data[0] % ARRAY_SIZE(devices);
    const struct section *section = devices[device].section;
    size_t wire = section_wire_size(section);
    struct machine_time time = { 0, (uint64_t)(data[1] + 1) << 24 };
    memset(&object, 0, sizeof object);
    require(section->struct_size <= OBJECT_MAX && wire <= OBJECT_MAX);
    if (size - 2 >= wire && section_load(section, &object, data + 2, wire, why, sizeof why) != OK)
        return 0;
    if (device == 0 && size - 2 < wire)
        pit_reset((struct pit *)&object);
    for (size_t at = size - 2 >= wire ? 2 + wire : 2; at + 4 <= size; at += 4) {
        const struct access access = { data[at], data[at + 1], data[at + 2], data[at + 3] };
        uint64_t step = 1ull << (access.later & 63);
        time.now = time.now > UINT64_MAX - step ? UINT64_MAX : time.now + step;
        devices[device].drive(&object, access, time);
    }
    reload(section, &object);
    return 0;
}
