"""The in-guest tests: what they are called, which machine they want, how long they may take."""
from tests.guest import behaviour, boots, linux, misdeeds, network, upload, virtio
from tests.guest.one_pod import OnePod, OnePodInSoftware, beside_a_clock
from tests.suite import Test


def on_pod(name, function, seconds=40):
    return Test(f"guest/{name}", beside_a_clock(function), seconds, OnePod)


def on_empty(name, function, seconds=40):
    return Test(f"upload/{name}", function, seconds, upload.EmptyPod)


def on_linux(name, function, seconds=40):
    return Test(f"linux/{name}", function, seconds, linux.LinuxPod)


def in_software(name, function, seconds=40):
    """Once more where the processor does not virtualize the APICs."""
    return Test(f"guest/apicv=no, {name}", beside_a_clock(function), seconds, OnePodInSoftware)


TESTS = [
    on_pod("hello climbs from real to long mode", behaviour.hello),
    on_pod("clock ticks", behaviour.clock),
    on_pod("dirtier finds every page right", behaviour.dirtier),
    on_pod("dirtier finds a page that was spoilt", behaviour.spoilt),
    on_pod("interrupts, exceptions and NMIs", behaviour.inject, 90),
    on_pod("exceptions and single steps", behaviour.exceptions, 70),
    on_pod("events cut short in their delivery", behaviour.cut_short, 160),
    on_pod("processor state", behaviour.fpu, 60),
    on_pod("two guests' processor states side by side", behaviour.fpu_side_by_side, 60),
    on_pod("six guests side by side on one CPU", behaviour.side_by_side, 60),
    on_pod("console input and output", behaviour.console),
    on_pod("pause holds a guest, resume lets it go on", behaviour.pause_resume),
    on_pod("triple fault ends the guest alone", misdeeds.triple),
    on_pod("a loop with interrupts off is stopped", misdeeds.spin),
    on_pod("guests that print without end", misdeeds.noisy),
    on_pod("a write outside of memory", misdeeds.outside("write")),
    on_pod("a read outside of memory", misdeeds.outside("read")),
    on_pod("code outside of memory", misdeeds.outside("execute")),
    on_pod("every port", misdeeds.ports, 120),
    on_pod("a PC's devices, used and misused", misdeeds.pc_devices, 60),
    on_pod("an instruction that devices do not understand", misdeeds.refused_instruction, 60),
    on_pod("every MSR", misdeeds.msrs, 90),
    on_pod("local APIC, I/O APIC and PIC", behaviour.apic),
    on_pod("local APIC, I/O APIC and PIC abused", misdeeds.apic_abuse, 60),
    on_pod("what exits cost", behaviour.exit_costs),
    in_software("clock ticks", behaviour.clock),
    in_software("interrupts, exceptions and NMIs", behaviour.inject, 90),
    in_software("forbidden control-register values", misdeeds.control),
    in_software("every MSR", misdeeds.msrs, 90),
    in_software("local APIC, I/O APIC and PIC", behaviour.apic),
    in_software("local APIC, I/O APIC and PIC abused", misdeeds.apic_abuse, 60),
    on_pod("forbidden control-register values", misdeeds.control),
    on_pod("VMX instructions and hypercalls", misdeeds.hypercall),
    on_pod("a truncated guest file", misdeeds.bad_file("cut", "truncated")),
    on_pod("a guest file of noise", misdeeds.bad_file("noise", "ELF")),
    on_pod("a guest file of another kind", misdeeds.bad_file("windows", "EFI")),
    on_pod("a guest with more memory than there is", misdeeds.too_much_memory),
    on_pod("guests until the memory is gone", misdeeds.until_memory_is_gone, 60),
    on_pod("commands that make no sense", misdeeds.commands),
    on_pod("noise on the control port", misdeeds.noise),
    on_pod("virtio: a disk", virtio.block, 80),
    on_pod("virtio: two guests on one network", virtio.net, 80),
    on_pod("virtio: a MAC address that is taken", virtio.same_mac),
    on_pod("virtio: a console", virtio.console),
    on_pod("virtio: random numbers", virtio.entropy),
    on_pod("virtio: what a kick costs", virtio.kick),
    on_pod("virtio: misdeeds in every queue", virtio.abuse, 180),
    on_pod("commands on COM1", behaviour.serial_commands),
    on_pod("the kernel's own tests", behaviour.selftest, 60),
    on_pod("a file of the boot volume is removed", upload.remove_boot_file),
    on_pod("nothing is left behind", behaviour.nothing_left, 60),
    on_empty("an empty pod gets its work over the network", upload.gets_its_work, 60),
    on_empty("a large file", upload.large_file, 60),
    on_empty("uploads that break off", upload.broken_off, 90),
    on_empty("files that are refused", upload.refused),
    on_empty("starts that are refused", upload.bad_starts),
    on_empty("a guest that ended starts again", upload.starts_again),
    on_empty("its disk is kept meanwhile", upload.disk_is_kept),
    on_empty("a guest's memory is zero before it sees it", upload.memory_is_zero, 120),
    on_empty("and after it was started again", upload.memory_is_zero_after_a_restart),
    on_linux("boots to its shell", linux.boots, 90),
    on_linux("has nothing to complain of", linux.complaints),
    on_linux("its clocks are right", linux.clocks, 90),
    on_linux("its interrupts are counted", linux.interrupts),
    on_linux("is on the network", linux.network, 90),
    on_linux("leaves the CPU alone when it is idle", linux.idle),
    on_linux("spins and answers", linux.spinning),
    on_linux("kernels that are refused", linux.refused),
    on_linux("a Multiboot kernel", linux.multiboot),
    on_linux("all virtio devices, by MSI-X", virtio.linux_drivers("", "PCI-MSI"), 120),
    on_linux("all virtio devices, by their pins", virtio.linux_drivers("pci=nomsi", "IO-APIC"), 120),
    on_linux("memtest86+ tests its memory", linux.memtest, 90),
    on_linux("is switched off, and boots again", linux.switched_off, 90),
    Test("boot/an older CPU without what guests need", boots.older_cpu, 60),
    Test("boot/haswell, without TSC scaling and PML", boots.haswell, 120),
    Test("boot/two CPUs", boots.two_cpus, 60),
    Test("boot/guests of several vCPUs", boots.several_vcpus, 150),
    Test("boot/QEMU with e1000", boots.in_qemu("e1000"), 90),
    Test("boot/QEMU with e1000e", boots.in_qemu("e1000e"), 90),
    Test("network/ping and ARP with e1000", network.ping("e1000"), 90),
    Test("network/ping and ARP with e1000e", network.ping("e1000e"), 90),
    Test("boot/a panic is readable", boots.panic, 60),
    Test("boot/telepod.ini with mistakes", boots.bad_ini, 60),
    Test("boot/no telepod.ini", boots.no_ini, 60),
    Test("boot/a truncated kernel", boots.truncated_kernel, 60),
    Test("boot/a guest file that is missing", boots.missing_guest, 60),
]
