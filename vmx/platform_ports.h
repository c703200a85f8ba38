/* The devices of vmx/platform.c as the bus sees them. */
#ifndef TELEPOD_PLATFORM_PORTS_H
#define TELEPOD_PLATFORM_PORTS_H

#include "vmx/bus.h"
#include "vmx/devices/machine_time.h"

struct vm;

struct machine_time platform_time(const struct vm *vm);

extern const struct bus_ops uart_ports, exit_port, test_line_ports, pit_ports, control_port, rtc_ports;
extern const struct bus_ops acpi_pm_ports, fw_cfg_ports;
extern const struct bus_ops pci_address_port, pci_data_port;    /* vmx/pci_bus.c */
extern const struct bus_ops pic_master_ports, pic_slave_ports, pic_elcr_ports, ioapic_registers; /* interrupt_lines.c */

#endif
