"""A pod in Bochs for the in-guest tests, booted once. A clock guest ticks on COM2 all the time: whatever a test does to the
pod, its ticks must stay without gap, and the pod's resources must come back."""
from tools.lab import oracle, places
from tools.lab.bochs import Alone
from tools.lab.errors import Failure, LabError, expect, expect_equal

from tools.lab.settings import Guest, Machine, Pod
from tools.lab.waiting import wait_until

# One pod alone: the host can hold twice the rate of a pair.
SETTINGS = Machine(ips=100_000_000)
IMAGES = ["hello", "clock", "dirtier", "triple", "spin_cli", "outside", "ports", "msrs", "inject", "exceptions", "fpu", "cpuid_bench",
          "hypercall", "control", "virtio_block", "virtio_net", "virtio_console", "virtio_entropy", "virtio_abuse",
          "virtio_bench", "apic", "apic_abuse", "exit_bench", "pc"]
METRONOME_HZ = 20


def bad_files():
    """Guest files that are not what they claim."""
    clock = places.guest_image("clock").read_bytes()
    return {"cut.elf": clock[:len(clock) // 3],
            "noise.elf": b"\x7fELF" + bytes((i * 197 + 13) % 256 for i in range(5000)),
            "windows.elf": b"MZ" + bytes(4000)}


class OnePod:
    directory = places.BUILD / "test/one-pod"
    settings = SETTINGS
    more = ""                           # of the [pod] section

    def __init__(self):
        files = bad_files()
        guests = [Guest(name) for name in IMAGES] + [Guest(name.removesuffix(".elf"), image=name) for name in files]
        self._alone = Alone(self.settings, Pod("pod-t", guests, files=files, more=self.more), self.directory)
        self.pod = self._alone.machine

    def start(self):
        self._alone.start()
        self.pod.ready()
        self._ticks_from = self.pod.com2.log.position
        self.pod.control.must(f"start metronome image=clock.elf cmdline=hz={METRONOME_HZ} console=com2")
        self.pod.com2.log.wait_for(r"^tick 3 ", 10, self._ticks_from, self.pod.alive)

    def usable(self):
        return self.pod.alive()

    def stop(self):
        self._alone.stop()

    # ---- for tests -----------------------------------------------------------------------------------------------

    def must(self, command, seconds=20):
        return self.pod.control.must(command, seconds)

    def guest(self, name):
        for guest in self.must("list")["guests"]:
            if guest["name"] == name:
                return guest
        raise Failure(f"list knows no guest {name}")

    def wait_halted(self, name, seconds):
        """Until it has ended by itself; its entry in the list, with the reason."""
        wait_until(lambda: self.guest(name)["state"] != "running", seconds,
                   lambda: f"{name} still runs; it said: {self.said(name)[-300:]!r}")
        return self.guest(name)

    def said(self, name):
        """All of its serial output that the pod has kept."""
        text = []
        self.pod.control.must(f"console {name} position=0", 20, lambda event: text.append(event.get("text", "")))
        return "".join(text).replace("\r", "")

    def run_guest(self, name, options="", seconds=30):
        """Starts a guest and waits for its end; (reason, text)."""
        self.must(f"start {name} {options}".strip())
        try:
            guest = self.wait_halted(name, seconds)
            text = self.said(name)
        finally:
            self.pod.control.call(f"stop {name}")
        expect_equal(guest["state"], "halted", f"state of {name}")
        return guest["reason"], text

    def must_pass(self, name, options="", seconds=30):
        """A guest that gives its own verdict."""
        reason, text = self.run_guest(name, options, seconds)
        expect(f": pass\n" in text and reason == "exit code 0", f"{name}: {reason}; it said: {text[-500:]!r}")
        return text

    def check_metronome(self):
        """The other guest's ticks, from the start of the pod until now, and some more."""
        log = self.pod.com2.log
        before = log.position
        try:
            log.wait_for(r"^tick \d+ tsc .*\n(.*\n)*tick \d+ tsc", 5, before, self.pod.alive)
        except LabError as error:
            raise Failure(f"the clock guest beside does not tick any more: {error}") from None
        return oracle.check_clock(log.text(self._ticks_from))


class OnePodInSoftware(OnePod):
    """The same, with the guests' local APICs in software."""
    directory = places.BUILD / "test/one-pod-in-software"
    more = "apicv = no\n"


def beside_a_clock(test):
    """The test, and then: the clock guest beside it never missed a tick."""
    def checked(fixture):
        test(fixture)
        fixture.check_metronome()

    return checked
