"""Two pods with a second card each, on a bridge with a real Linux host: the guests' LAN."""
from tests.pods.two_pods import TwoPods
from tools.lab import netns, places
from tools.lab.emulators import make
from tools.lab.errors import Skipped, expect_equal
from tools.lab.lan import TAPS, Lan
from tools.lab.observer import Observer
from tools.lab.settings import Guest, Machine, Pod

SETTINGS = Machine(ips=50_000_000)
GUESTS = ["net_echo", "dirtier", "clock"]
ADDRESS = "192.168.77.50"           # net_echo's, unless it is told another
BROADCAST = b"\xff" * 6
PING_TRIES = 3
PING_SECONDS = "10"                 # for an answer; only one that is lost costs them


class LanPods(TwoPods):
    whole_host = True               # times are compared here, to the millisecond
    directory = places.BUILD / "test/lan"
    settings = SETTINGS
    def __init__(self):
        missing = netns.missing()
        if missing:
            raise Skipped(f"the guests' LAN cannot be set up here: {missing}")
        guests = self.make_guests()
        self.a, self.b = (make(self.settings.but(tap=tap), Pod(name, guests, more="lan = 1\n"), self.directory / name)
                          for name, tap in zip(("pod-a", "pod-b"), TAPS))
        self.pods = [self.a, self.b]
        self.lan = Lan(self.directory / "lan")
        self.observer = None

    def make_guests(self):
        return [Guest(name) for name in GUESTS]

    def start(self):
        self.lan.start()
        self.observer = Observer(self.lan)
        for pod in self.pods:
            pod.namespace = self.lan.lan
            pod.start()
        return self.ready()

    def stop(self):
        super().stop()
        if self.observer:
            self.observer.stop()
        self.lan.stop()

    # ---- for tests -------------------------------------------------------------------------------------------------

    def tap(self, pod):
        return TAPS[self.pods.index(pod)]

    def begin(self, name="net_echo", pod=None, more=""):
        """A guest with a card on the LAN, and nothing left of an earlier test; the pod and the guest's MAC address."""
        pod = pod or self.a
        start = pod.log.position
        pod.control.must(f"start {name} image=net_echo.elf devices=net {more}".strip())
        line = pod.wait_log(rf"\[{name}\] # net_echo: ([0-9a-f:]+) address", 20, start)
        return bytes.fromhex(line[1].replace(":", ""))

    def clear(self):
        super().clear()
        self.observer.forget()

    def move(self, name, source, options="", seconds=60):
        """Teleports it to the other pod; the flight record."""
        target = self.other(source)
        reply = source.control.must(f"teleport {name} {target.peer_address} {options}".strip(), seconds)
        expect_equal(reply["flight"]["outcome"], "moved", "outcome")
        return reply["flight"]

    def ping(self, address=ADDRESS, count=5, interval="0.02"):
        """How many of `count` are answered; of several tries the best, because a machine that is held up may drop a frame."""
        tries = 0
        while (answered := self._ping(address, count, interval)) < count and (tries := tries + 1) < PING_TRIES:
            continue
        return answered

    def _ping(self, address, count, interval):
        done = self.lan.run(["ping", "-n", "-q", "-i", interval, "-c", str(count), "-W", PING_SECONDS, address], 30)
        for line in done.stdout.split("\n"):
            if " received" in line:
                return int(line.split(" received")[0].split()[-1])
        return 0

    def of_guest(self, mac, since=0):
        """Frames that came into the bridge from this station, wherever."""
        return [frame for frame in self.observer.frames(since) if frame.source == mac]

    def port_of(self, pod, guest):
        """The switch's counters of a guest's port."""
        for port in pod.control.must("stats")["switch"]:
            if port["guest"] == guest:
                return port
        return None
