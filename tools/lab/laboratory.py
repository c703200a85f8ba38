"""The laboratory: machines that share one virtual time, the cables between them, and the lab itself as a participant.

Time belongs to it. It passes in run_until() alone, and everything that waits (waiting.py) ends up there. Between two calls all
machines stand still at one instant; only then does anybody touch them: bytes are typed, frames and connections begin, a machine
loses its power. So a run is a function of the commit, the settings, the seed and what the caller does, and run.json says all of
it (record.py).

Two cables: `net` carries control and teleports, and the lab has a host on it with a TCP/IP stack of its own; `lan` is the guests',
for machines with a second card."""
import heapq
import itertools
import os
import time
from contextlib import contextmanager

from . import waiting
from .connection import Connection, Listener
from .errors import LabError
from .gateway import Forward
from .library import ENDED, NEWS, STARTING, WAITING, Library
from .links import link
from .record import Record

NS = 1_000_000_000
STEP_NS = 20_000_000            # between two looks at what machines have said
FOREIGN_STEP_NS = 1_000_000     # ... while a program of the host's takes part
STUCK_SECONDS = 8               # of the host's: a machine needs a thousandth of it for what it is granted
HOST, NETMASK, HOST_MAC = "10.0.2.2", "255.255.255.0", bytes.fromhex("525400545102")
FIRST_ADDRESS = 21              # of machines: 10.0.2.21 and so on
TELEPORT_PORT = 7001            # the pods'; the lab's own targets and sources listen on those behind it
RECORD_PORTS = (TELEPORT_PORT, 7199)
SNAP = 192                      # bytes of a frame that are kept: all headers, and that of a record
CABLES = ("net", "lan")

_current = None


def current():
    """The one of this process."""
    if not _current:
        raise LabError("there is no laboratory")
    return _current


class Laboratory:
    """settings: of a machine, for the emulated processor's rate; links: the names of the two cables' links."""

    def __init__(self, directory, ips, links=None, faults=(), seed=1, snap=SNAP, about=None):
        self.directory = directory
        self.ips, self.seed = ips, seed
        self.links = {**{name: "lan" for name in CABLES}, **(links or {})}
        self.faults = list(faults)
        self.machines = {}              # by their places
        self._addresses = {}
        self._snap = snap
        self._links = {name: link(self.links[name]) for name in CABLES}
        self._tickers, self._order = [], itertools.count()
        self._forwards, self._raw = [], {}
        self._observers = {}
        self._host_programs = 0
        self._library = None
        self.record = Record(self, about or {})

    # ---- life ------------------------------------------------------------------------------------------------------

    def start(self):
        global _current
        if _current:
            raise LabError("there is a laboratory in this process already")
        self.record.begin()
        self._library = library = Library()
        self._shared = os.memfd_create("cable", 0)
        os.ftruncate(self._shared, library.lab_shared_size())
        if library.lab_open(self._shared, self.seed, *RECORD_PORTS) < 0:
            raise LabError("the laboratory's memory cannot be mapped")
        if library.lab_capture(str(self.directory / "cable.pcapng").encode(), self._snap) < 0:
            raise LabError(f"{self.directory}/cable.pcapng cannot be written")
        self._segments = {name: library.lab_add_segment(self._links[name].scaled(self.ips)) for name in CABLES}
        self._ports = {name: {} for name in CABLES}
        self._ports["net"]["lab"] = library.lab_add_station(self._segments["net"], HOST.encode(), NETMASK.encode(), HOST_MAC, b"lab")
        self._faults_wait = list(self.faults)
        _current = self
        waiting.rule(self)
        return self

    def stop(self):
        global _current
        if not self._library:
            return
        for machine in list(self.machines.values()):
            machine.stop()
        for forward in self._forwards:
            forward.close()
        self.record.end()
        self._library.lab_close()
        self._library.unload()
        self._library = None
        os.close(self._shared)
        _current = None
        waiting.rule(None)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    # ---- time ------------------------------------------------------------------------------------------------------

    @property
    def now_ns(self):
        return self._library.lab_now()

    def now(self):
        """Seconds of virtual time; waiting.py asks for it."""
        return self.now_ns / NS

    def sleep(self, seconds):
        self.run_until(self.now_ns + round(seconds * NS))

    def every(self, seconds, action):
        """Calls action() each so many seconds of virtual time, between two grants, until it returns False or stop() of what is
        returned is called. The action may not wait."""
        ticker = Ticker(self, round(seconds * NS), action)
        self._push(ticker)
        return ticker

    def _push(self, ticker):
        heapq.heappush(self._tickers, (ticker.due, next(self._order), ticker))

    def _foreign(self):
        """Whether a program of the host's takes part: then virtual time does not run ahead of the host's."""
        return self._host_programs > 0 or any(forward.busy() for forward in self._forwards)

    @contextmanager
    def host_program(self):
        """As long as this lasts, a program of the host's takes part, connected or not."""
        self._host_programs += 1
        try:
            yield
        finally:
            self._host_programs -= 1

    def run_until(self, end):
        """Lets time pass, to `end` in nanoseconds."""
        self._look()
        while self.now_ns < end:
            self._step(end, False)

    def run_for_news(self, end):
        """The same, but it returns early: at the latest after a step, and when something has come for a host of the lab's."""
        self._step(end, True)

    def _step(self, end, stop_at_news):
        foreign = self._foreign()
        began, host = self.now_ns, time.monotonic()
        first = self._tickers[0][0] if self._tickers else end
        self._run(max(began, min(end, began + (FOREIGN_STEP_NS if foreign else STEP_NS), first)), stop_at_news)
        if foreign:
            time.sleep(max(0, (self.now_ns - began) / NS - (time.monotonic() - host)))
        while self._tickers and self._tickers[0][0] <= self.now_ns:
            _, _, ticker = heapq.heappop(self._tickers)
            if ticker.tick():
                self._push(ticker)
        self._look()

    def _run(self, end, stop_at_news=False):
        since = time.monotonic()
        while (status := self._library.lab_run(end, stop_at_news)) == WAITING:
            self._ask_what_is_wrong(time.monotonic() - since)
        return status == NEWS

    def _ask_what_is_wrong(self, seconds):
        """A machine does not come to its grant: it has died, or is stuck, or the host is slow."""
        index = self._library.lab_waits_for()
        machine = self.machines.get(index)
        if machine is None:
            return
        starting = self._library.lab_machine_state(index) == STARTING
        if not machine.emulator_alive():
            self._library.lab_remove_machine(index)
            if starting:
                raise LabError(f"{machine.name}: {machine.why_it_did_not_start()}")
            raise LabError(f"{machine.name}: its emulator died at {self.now():.6f} s of virtual time, {machine.last_words()}")
        if seconds > STUCK_SECONDS:
            self._library.lab_remove_machine(index)
            machine.kill()
            if starting:
                raise LabError(f"{machine.name}: its emulator has not come to the cable within {STUCK_SECONDS} s: "
                               f"{machine.why_it_did_not_start()}")
            raise LabError(f"{machine.name}: its emulator is stuck at {self.now():.6f} s of virtual time, and was ended after {STUCK_SECONDS} s")

    def _look(self):
        """Gives what machines and cables have said to those who wait for it."""
        for ns, index, stream, data in self._library.output():
            self.record.said(ns, self.machines[index].name, stream, data)
            self.machines[index].hear(stream, data, ns / NS)
        for ns, port, data in self._library.frames():
            self._raw[port](ns, data)
        for ns, port, data in self._library.observed():
            for observer in self._observers.values():
                observer(ns, port, data)
        for machine in self.machines.values():
            machine.type_on()
        for forward in self._forwards:
            forward.work()

    # ---- machines --------------------------------------------------------------------------------------------------

    def add_machine(self, machine, cables):
        """A place for a machine that is powered on now, with a card on each of these cables; (number, environment of its
        emulator, descriptors that it inherits)."""
        index = self._library.lab_add_machine(machine.settings.ips, self.seed * 100 + len(self.machines) + 1)
        if index < 0:
            raise LabError(f"{machine.name} is one machine too many for a laboratory")
        self.machines[index] = machine
        for card, cable in enumerate(cables):
            name = machine.name if cable == "net" else f"{machine.name}, {cable}"
            port = self._library.lab_add_card(self._segments[cable], index, card, name.encode())
            if port < 0:
                raise LabError(f"{name} is one port too many on the cable {cable}")
            self._ports[cable][machine.name] = port
        self._plant_faults()
        return index, {"TELEPOD_CABLE": f"{self._shared}:{index}"}, (self._shared,)

    def address_of(self, name):
        """Of a machine on `net`, the same whenever it is powered on."""
        return self._addresses.setdefault(name, f"{HOST.rpartition('.')[0]}.{FIRST_ADDRESS + len(self._addresses)}")

    def remove_machine(self, index):
        self._library.lab_remove_machine(index)

    def forget_machine(self, index):
        """Once its last words are read."""
        self._look()
        del self.machines[index]

    def alive(self, index):
        return self._library.lab_machine_state(index) != ENDED

    def ticks(self, index):
        return self._library.lab_machine_ticks(index)

    def type(self, index, stream, data):
        return self._library.lab_type(index, stream, data, len(data))

    def _plant_faults(self):
        """Those whose participants are there by now."""
        for fault in list(self._faults_wait):
            ports = self._ports[fault.cable]
            if all(name in ports for name in (fault.sender, fault.receiver) if name):
                self._faults_wait.remove(fault)
                self.plant(fault)

    def plant(self, fault):
        """A fault, from now on."""
        rule = fault.rule(self._segments[fault.cable], self._ports[fault.cable].__getitem__)
        if self._library.lab_add_fault(rule) < 0:
            raise LabError(f"fault {fault.text!r} is one too many")

    def expect_machines(self, names):
        """Before any is powered on: LabError for a fault that names another."""
        for fault in self.faults:
            for name in (fault.sender, fault.receiver):
                if name and name not in (*names, "lab"):
                    raise LabError(f"fault {fault.text!r}: there is no {name}, but {', '.join([*names, 'lab'])}")

    def check_faults(self):
        """Once all machines are there: LabError for a fault whose participant is not."""
        for fault in self._faults_wait:
            raise LabError(f"fault {fault.text!r}: on {fault.cable} there are {', '.join(self._ports[fault.cable])}")

    def struck(self):
        """How many frames each fault has struck, in the order in which they were planted."""
        return [rule.done for rule in self._library.faults()]

    def counts(self, cable, name):
        """Frames of a participant, by what became of them."""
        found = self._library.lab_counts(self._ports[cable][name]).contents
        return {field: getattr(found, field) for field, _ in found._fields_}

    # ---- the lab as a participant ------------------------------------------------------------------------------------

    @property
    def library(self):
        """For connection.py."""
        return self._library

    def connect(self, address, port, seconds=5):
        return Connection.open(self, address, port, seconds)

    def begin(self, address, port):
        return Connection.begin(self, address, port)

    def listen(self, port=None):
        return Listener(self, port)

    def station(self, cable, address, mac, name):
        """One more host with a TCP/IP stack."""
        self._ports[cable][name] = self._library.lab_add_station(self._segments[cable], address.encode(), NETMASK.encode(), mac, name.encode())

    def raw_port(self, cable, name, heard):
        """A participant who plays its own frames: heard(ns, frame) for what comes, send(frame) of what is returned."""
        port = self._library.lab_add_raw(self._segments[cable], name.encode())
        self._ports[cable][name] = port
        self._raw[port] = heard
        return RawPort(self, port)

    def observe(self, cable, heard):
        """heard(ns, sender's name, frame) for every frame that comes into this cable's switch."""
        names = self._ports[cable]

        def by_name(ns, port, data):
            heard(ns, next((name for name, number in names.items() if number == port), str(port)), data)

        self._observers[cable] = by_name
        self._library.lab_observe(self._segments[cable], True)

    def forward(self, address, port):
        """A port of 127.0.0.1 that leads to a machine's, for programs of the host's; its number."""
        for forward in self._forwards:
            if (forward.address, forward.port) == (address, port):
                return forward.host_port
        self._forwards.append(Forward(self, address, port))
        return self._forwards[-1].host_port


class Ticker:
    def __init__(self, laboratory, period, action):
        self._period, self._action = period, action
        self._running = True
        self.due = laboratory.now_ns + period

    def tick(self):
        """Whether it goes on."""
        if self._running and self._action() is not False:
            self.due += self._period
            return True
        return False

    def stop(self):
        self._running = False


class RawPort:
    def __init__(self, laboratory, port):
        self._library, self._port = laboratory.library, port

    def send(self, frame):
        self._library.lab_send(self._port, frame, len(frame))
