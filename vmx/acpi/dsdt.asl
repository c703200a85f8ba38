/*
 * What a guest's machine looks like to ACPI's interpreter: the PCI root bridge with its windows and interrupt routes, and
 * the devices of the ISA bus. Compiled by iasl at build time; the same for every guest (vmx/acpi/guest_acpi.c adds what
 * differs). The numbers are those of vmx/platform.h's machine: see vmx/README.md.
 */
DefinitionBlock ("dsdt.aml", "DSDT", 2, "TELEPD", "TELEPOD", 1)
{
    /* SLP_TYP of S5, soft off: vmx/devices/acpi_pm.c takes 5, as it does for the pod's own shutdown. */
    Name (\_S5, Package () { 0x05, 0x05, 0x00, 0x00 })

    Scope (\_SB)
    {
        Device (PCI0)
        {
            Name (_HID, EisaId ("PNP0A03"))
            Name (_UID, Zero)
            Name (_BBN, Zero)
            Name (_CRS, ResourceTemplate ()
            {
                WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode, 0, 0, 0, 0, 1)
                IO (Decode16, 0x0CF8, 0x0CF8, 1, 8)
                WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange, 0, 0x0000, 0x0CF7, 0, 0x0CF8)
                WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange, 0, 0x0D00, 0xFFFF, 0, 0xF300)
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, ReadWrite,
                             0, 0xC0000000, 0xFEBFFFFF, 0, 0x3EC00000)
            })

            /* INTA# of slot n is GSI 16 + n % 4: vmx/pci_bus.c. The slots that have functions are 1 to 4. */
            Name (_PRT, Package ()
            {
                Package () { 0x0001FFFF, 0, Zero, 17 },
                Package () { 0x0002FFFF, 0, Zero, 18 },
                Package () { 0x0003FFFF, 0, Zero, 19 },
                Package () { 0x0004FFFF, 0, Zero, 16 },
            })

            Device (ISA)
            {
                Name (_ADR, 0x001F0000)     /* no function answers there: the ISA bus has no bridge that a guest could set */

                Device (PIC)
                {
                    Name (_HID, EisaId ("PNP0000"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x0020, 0x0020, 1, 2)
                        IO (Decode16, 0x00A0, 0x00A0, 1, 2)
                        IO (Decode16, 0x04D0, 0x04D0, 1, 2)
                        IRQNoFlags () { 2 }
                    })
                }

                Device (TMR)
                {
                    Name (_HID, EisaId ("PNP0100"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x0040, 0x0040, 1, 4)
                        IRQNoFlags () { 0 }
                    })
                }

                Device (RTC)
                {
                    Name (_HID, EisaId ("PNP0B00"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x0070, 0x0070, 1, 2)
                        IRQNoFlags () { 8 }
                    })
                }

                Device (COM1)
                {
                    Name (_HID, EisaId ("PNP0501"))
                    Name (_UID, One)
                    Name (_STA, 0x0F)
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x03F8, 0x03F8, 1, 8)
                        IRQNoFlags () { 4 }
                    })
                }
            }
        }

        /* What else answers at ports: nobody else may claim them. */
        Device (SYSR)
        {
            Name (_HID, EisaId ("PNP0C02"))
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x0061, 0x0061, 1, 1)
                IO (Decode16, 0x00F4, 0x00F4, 1, 1)
                IO (Decode16, 0x0510, 0x0510, 1, 2)
                IO (Decode16, 0x0600, 0x0600, 1, 0x0C)
            })
        }
    }
}
