"""Two pods that reach each other, and a guest that moves between them while its serial line is read on both."""
from . import linux, oracle, waiting
from .emulators import laboratory_for, make
from .errors import Failure, LabError, expect, expect_equal
from .settings import Pod

PAGE_SIZE = 4096
STEADY_S = 0.5        # between two looks that must agree


class Pair:
    """Both machines boot at once. Guests that are to be followed have console=com2, one at a time. More words are those of the
    Laboratory: links, faults, seed."""

    def __init__(self, settings, guests, directory, other_settings=None, more_of_a="", **of_the_laboratory):
        self.laboratory = laboratory_for(settings, directory, **of_the_laboratory)
        self.a = make(settings, Pod("pod-a", guests, more=more_of_a), directory / "pod-a")
        self.b = make(other_settings or settings, Pod("pod-b", guests), directory / "pod-b")
        self.pods = [self.a, self.b]

    def start(self):
        self.laboratory.expect_machines([pod.name for pod in self.pods])
        self.laboratory.start()
        for pod in self.pods:
            pod.start()
        self.laboratory.check_faults()
        return self

    def ready(self):
        for pod in self.pods:
            pod.ready()
        return self

    def stop(self):
        for pod in self.pods:
            pod.stop()
        self.laboratory.stop()

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *_):
        self.stop()

    def other(self, pod):
        return self.b if pod is self.a else self.a


class Traveller:
    """A guest with its serial line on COM2, wherever it is; `text` is all that it has said."""

    def __init__(self, pair, name, start="", pod=None):
        self.pair = pair
        self.name = name
        self.pod = pod or pair.a
        self._past = []                       # text of earlier stays
        self._from = self.pod.com2_end()      # it may still have been sending what an earlier guest said
        self.flights = []
        self.pod.control.must(f"start {name} {start} console=com2".strip())

    @property
    def text(self):
        return "".join(self._past) + self.here

    @property
    def here(self):
        """What it has said on the pod where it is."""
        return self.pod.com2.log.text(self._from)

    @property
    def arrived(self):
        """Where on its pod's COM2 this stay begins."""
        return self._from

    def run_for(self, seconds):
        """By its pod's clock."""
        self.pod.run_for(seconds)

    def move(self, options="audit=1", seconds=60, on_event=None):
        """Teleports it to the other pod; the flight record."""
        target = self.pair.other(self.pod)
        arrival = target.com2_end()
        reply = self.pod.control.must(f"teleport {self.name} {target.peer_address} {options}", seconds, on_event)
        flight = reply["flight"]
        self.flights.append(flight)
        expect_equal(flight["outcome"], "moved", "outcome")
        if "audit" in options:
            expect("audit" in flight, "the audit did not take place")
            expect_equal(flight["audit"]["different"], 0, "frames that differ in the audit")
        self.has_moved(target, arrival)
        return flight

    def has_moved(self, target, arrival):
        """What it said on the pod that it has left is complete; on `target` its text begins at `arrival`."""
        self._past.append(self.pod.com2.log.text(self._from, self.pod.com2_end()))
        self.pod, self._from = target, arrival

    def ask(self, letter, pattern, seconds=20):
        """Types a letter for the guest and waits for its answer."""
        start = self.pod.com2.log.position
        self.pod.control.must(f"console {self.name} input={letter} position=18446744073709551615")
        return self.pod.com2.log.wait_for(pattern, seconds, start, self.pod.alive).group(0)

    def verify_memory(self):
        """The dirtier's check of every page, inside the guest."""
        line = self.ask("v", r"dirtier: verified all \d+ pages mismatches \d+\n", 60).strip()
        expect(line.endswith("mismatches 0"), f"inside the guest: {line}")
        return line

    def stop(self):
        reply = self.pod.control.call(f"stop {self.name}")
        if not reply["ok"]:
            raise Failure(f"{self.name} could not be stopped: {reply.get('error')}")


def settled(pod, read, seconds=10):
    """Waits until two looks at a counter, STEADY_S apart, agree (or the time is over); the last value."""
    end = waiting.deadline(seconds)
    last = read(pod)
    while waiting.now() < end:
        waiting.sleep(STEADY_S)
        now = read(pod)
        if now == last:
            return now
        last = now
    return last


def expect_back(pod, read, before, what, seconds=10):
    """A counter comes back to what it was: all that was taken has been given back, at once or a little later."""
    end = waiting.deadline(seconds)
    while (now := read(pod)) != before and waiting.now() < end:
        waiting.sleep(STEADY_S / 5)
    expect_equal(now, before, what)


def resources(pod):
    """What must come back to where it was."""
    stats = pod.call("stats")
    if not stats["ok"]:
        raise LabError(f"{pod.name}: {stats}")
    # A heap that grew and stacks that wait for the next thread are not lost: they are counted where they are.
    pages = stats["pages"]["free"] + stats["pages"]["pooled"] + stats["heap"]["mapped"] // PAGE_SIZE
    return {"pages": pages, "heap": stats["heap"]["bytes"], "blocks": stats["heap"]["blocks"],
            "threads": stats["threads"], "pbufs": stats["net"]["pbufs"], "streams": stats["net"]["streams"]}


CHECKS = {"clock": oracle.check_clock, "dirtier": oracle.check_dirtier,
          "linux": lambda text: len(linux.check_workload(text))}
