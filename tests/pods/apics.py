"""Two pods, on one of which the processor virtualizes the guests' APICs, and on the other software does. A guest's APIC is the
same on both, and what is pending or in service on the way comes along."""
from tests.pods import smp_linux
from tests.pods.two_pods import TwoPods
from tools.lab import linux
from tools.lab.errors import expect
from tools.lab.settings import Guest

MOVES = 3
DEVICES = {"ttyS0": "IO-APIC", "virtio0-input": "PCI-MSI"}
ADDRESS, GATEWAY = "10.0.2.77/24", "10.0.2.2"


class HardwareAndSoftware(TwoPods):
    """pod-a uses APIC virtualization, pod-b does not. Each has one CPU, which several vCPUs share."""
    directory = TwoPods.directory.parent / "apics"

    def __init__(self):
        super().__init__()
        self.b.pod.more = "apicv = no\n"

    def make_guests(self):
        linux.built()
        return [Guest("smp"), Guest("clock"),
                linux.guest(cmdline=f"{linux.QUICK} {smp_linux.WORK} address={ADDRESS}", memory="96M", devices="net", vcpus=2)]

    def start(self):
        super().start()
        for pod, words in ((self.a, ", APIC virtualization"), (self.b, ", APICs in software")):
            expect(words in pod.log.text(), f"{pod.name} does not say {words!r}")
        return self


def device_counts(shell):
    """Interrupts of a pin of the I/O APIC's and by MSI-X: device to their number, over all processors."""
    rows = linux.interrupts(shell, "|".join(DEVICES)).values()
    counts = {}
    for device, route in DEVICES.items():
        found = [sum(count) for count, text in rows if device in text and route in text]
        expect(len(found) == 1, f"{len(found)} rows of {device} by {route}: {rows}")
        counts[device] = found[0]
    return counts


def reached_and_counted(guest):
    """Timers, the serial port and the network card interrupt it."""
    smp_linux.count_on_each(guest)
    shell = linux.Shell(guest.pod, guest.name)
    before = device_counts(shell)
    shell.run(f"for i in 1 2 3 4 5 6 7 8 9; do ping -c 1 -W 2 {GATEWAY} && break; done", 60)
    after = device_counts(shell)
    expect(all(after[device] > before[device] for device in before), f"interrupts: {before}, then {after}")


def linux_from_software(pods: HardwareAndSoftware):
    """Two processors on one CPU: it boots where its APICs are software, and goes to the hardware, back and again."""
    guest = smp_linux.booted(pods, "linux", 2, pods.b)
    smp_linux.to_and_fro(guest, reached_and_counted, MOVES)
