"""The Linux guest in the lab: its configurations, and a shell on its serial console."""
import re

from . import places
from .errors import Failure, LabError, expect
from .settings import Guest

KERNEL, INITRD, STRESS = "vmlinuz", "initrd", "initrd-stress"
CONSOLE = "console=ttyS0,115200"
REACHED = r"guest: shell at tick (\d+) start (\d+)\n"
PROMPT = "guest# "
BOOT_SECONDS = 120
# Half of the kernel's boot is the self-test of its cryptography: left out where a boot is not what is measured.
QUICK = "quiet cryptomgr.notests"
# What a kernel says when a processor did not answer, or a clock was wrong; for grep -E in the guest.
COMPLAINTS = ("rcu.*stall|soft lockup|hard LOCKUP|BUG|Oops|Call Trace|clocksource.*unstable|TSC.*unstable|not responding|"
              "failed to come|do_IRQ|No irq handler|unexpected IRQ|[Gg]eneral protection|segfault|stress-ng: fail")
COUNTS = re.compile(r" *(\w+):((?: +\d+)+) *(.*)")
# A line of the workload (guests/linux/workload.c). The console is the shell's too: its prompt, or the echo of what is being
# typed, may stand on the same line before it and behind it.
REPORT = re.compile(r"workload: (\d+) written (\d+) checked (\d+) wrong (\d+) tsc (\d+) mono_us (\d+) gap_us (\d+) "
                    r"at (\d+) largest (\d+)")


def guest(name="linux", cmdline="quiet", initrd=INITRD, memory="128M", **more):
    return Guest(name, image=KERNEL, initrd=initrd, memory=memory, cmdline=f"{CONSOLE} {cmdline}".strip(), console="com2", **more)


# Debian's memtest86+: a kernel by the same boot protocol.
MEMTEST = Guest("memtest", image="memtest", memory="16M", cmdline="console=ttyS0,115200 nosmp")


def built():
    """Debian's packages are fetched once, by make."""
    missing = [name for name in (KERNEL, INITRD, STRESS) if not (places.LINUX / name).exists()]
    if missing:
        raise LabError(f"{', '.join(missing)} of the Linux guest: make linux-guest builds them")


def escape(text):
    """For a quoted word of the control port."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\x03", "\\x03")


def type_text(pod, name, text):
    """Types on the guest's serial line. The 16550 holds 16 bytes: the pod gives it more as it takes them."""
    pod.control.must(f'console {name} input="{escape(text)}" position=18446744073709551615')


def is_frame(line):
    """What Shell.run types around a command, and what comes of it: not worth telling."""
    return "echo do''ne" in line or re.fullmatch(r"done\d+ (\d+|begins)", line.strip()) is not None


class Shell:
    """The shell of a guest whose console is on COM2 of the pod where it is."""

    def __init__(self, pod, name, start=None):
        self.pod, self.name = pod, name
        self.start = pod.com2.log.position if start is None else start
        self._count = 0

    def wait(self, seconds=BOOT_SECONDS):
        """Until the shell is there; (tick, the tick at which the kernel was entered)."""
        found = self.pod.com2.log.wait_for(REACHED, seconds, self.start, self.pod.alive)
        return int(found[1]), int(found[2])

    def run(self, command, seconds=30):
        """Types a command; what it printed. What the workload and the init script say in between is left out."""
        self._count += 1
        mark = f"done{self._count}"
        start = self.pod.com2.log.position
        type_text(self.pod, self.name, f"echo {mark[:2]}''{mark[2:]} begins; {command}; echo {mark[:2]}''{mark[2:]} $?\n")
        found = self.pod.com2.log.wait_for(rf"{mark} (\d+)\n", seconds, start, self.pod.alive)
        text = re.sub(r"\x1b\[6n", "", self.pod.com2.log.text(start))
        lines = text.split(f"{mark} begins\n", 1)[-1].rsplit(found[0], 1)[0].split("\n")
        expect(found[1] == "0", f"{command!r} in the guest ended with {found[1]}: {text[-400:]!r}")
        return "\n".join(line for line in lines if not re.search("workload: |^guest: ", line))


def interrupts(shell, rows):
    """The rows of /proc/interrupts that match `rows`, by name: ([a count each processor], description)."""
    lines = shell.run(f"grep -E '{rows}' /proc/interrupts", 60).split("\n")
    return {found[1]: ([int(count) for count in found[2].split()], found[3]) for line in lines if (found := COUNTS.match(line))}


def timers(shell):
    """What each processor has chosen for its timer."""
    return shell.run("cat /sys/devices/system/clockevents/clockevent*/current_device").split()


def check_complaints(shell):
    """The kernel has found its processors and its clocks right."""
    lines = shell.run(f"dmesg | grep -E '{COMPLAINTS}' | head -n 20", 60).strip()
    expect(not lines, f"the kernel complains:\n{lines}")


def reports(text):
    """The workload's lines: dictionaries, in order."""
    names = ("number", "written", "checked", "wrong", "tsc", "mono_us", "gap_us", "at", "largest")
    return [dict(zip(names, map(int, found.groups()))) for found in REPORT.finditer(text)]


def check_workload(text, least=3):
    """Numbered without gap, clocks that only grow, nothing wrong; the reports."""
    complaints = [line for line in text.split("\n") if re.search("workload: (.* )?(WRONG|FAIL)", line)]
    expect(not complaints, f"the workload complains: {complaints[:3]}")
    lines = reports(text)
    expect(len(lines) >= least, f"only {len(lines)} lines of the workload, {least} wanted: {text[-300:]!r}")
    for before, after in zip(lines, lines[1:]):
        if after["number"] != before["number"] + 1:
            raise Failure(f"line {before['number']} of the workload, and then line {after['number']}")
        for name in ("written", "checked", "tsc", "mono_us"):
            expect(after[name] > before[name], f"{name} of the workload went from {before[name]} to {after[name]}")
        expect(after["wrong"] == 0, f"the workload counts {after['wrong']} mistakes")
    return lines
