"""An unmodified Linux with two vCPUs under stress-ng (its TLB shoot-downs among others), on pods with two CPUs, moved while it
works. The kernel has to find nothing wrong, and its workload neither."""
import re

from tests.pods.two_pods import TwoPods
from tools.lab import linux
from tools.lab.errors import Failure, expect, expect_equal
from tools.lab.pair import Traveller
from tools.lab.settings import Machine

MOVES = 2
STRESS = "stress=--tlb-shootdown,2,--cpu,1,--timeout,0"
# What a kernel says when a processor did not answer, or a clock was wrong.
COMPLAINTS = re.compile(r"rcu.*stall|soft lockup|hard LOCKUP|BUG|Oops|Call Trace|clocksource.*unstable|TSC.*unstable|not responding|"
                        r"unexpected IRQ|General protection|general protection|segfault|stress-ng: fail")


class LinuxOnTwoCpus(TwoPods):
    directory = TwoPods.directory.parent / "linux-two-cpus"
    settings = Machine(ips=50_000_000, cpus=2)

    def make_guests(self):
        linux.built()
        return [linux.guest(cmdline=f"quiet work=count work_options=pages=128,rate=4,check=4 {STRESS}", initrd=linux.STRESS,
                            memory="192M", vcpus=2)]


def interrupts(shell):
    """The rows of /proc/interrupts that belong to each processor: name to counts, one a processor."""
    rows = {}
    for line in shell.run("cat /proc/interrupts").split("\n"):
        if match := re.match(r" *(LOC|RES|CAL|TLB): +(\d+) +(\d+) ", line):
            rows[match[1]] = (int(match[2]), int(match[3]))
    return rows


def under_stress(pods: LinuxOnTwoCpus):
    """Moved to and fro while both processors are busy and call each other."""
    guest = Traveller(pods, "linux")
    linux.Shell(guest.pod, "linux", 0).wait(240)
    for _ in range(MOVES):
        guest.run_for(3)
        guest.move(seconds=100)
    shell = linux.Shell(guest.pod, "linux")
    expect_equal(shell.run("nproc", 60).strip(), "2", "processors of Linux")
    before = interrupts(shell)
    guest.run_for(3)
    after = interrupts(shell)
    for cpu in range(2):
        expect(after["LOC"][cpu] > before["LOC"][cpu], f"processor {cpu} has no timer: {before}, {after}")
        expect(after["CAL"][cpu] + after["TLB"][cpu] > 0, f"nobody ever called processor {cpu}: {after}")
    complaints = [line for line in shell.run("dmesg", 60).split("\n") if COMPLAINTS.search(line)]
    if complaints:
        raise Failure("the kernel complains:\n" + "\n".join(complaints[:20]))
    linux.check_workload(guest.text)
    guest.stop()
