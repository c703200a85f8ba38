"""Two pods with a second card each, on the cable that is the guests' LAN, and on it a host of the lab's that plays its own frames."""
from tests.pods.two_pods import TwoPods
from tools.lab import places, waiting
from tools.lab.errors import expect_equal
from tools.lab.ethernet import ECHO_REQUEST, Echo, Host, LabCable
from tools.lab.observer import Observer
from tools.lab.probe import Prober
from tools.lab.settings import Guest, Machine
from tools.lab.waiting import wait_until

SETTINGS = Machine(lan=True)
GUESTS = ["net_echo", "dirtier", "clock"]
ADDRESS = "192.168.77.50"           # net_echo's, unless it is told another
HOST_ADDRESS, HOST_MAC = "192.168.77.2", bytes.fromhex("020000770002")
BROADCAST = b"\xff" * 6
PING_SECONDS = 5                    # for all answers
ARP_SECONDS = 5
ECHO_ID = 0x7E1E
ECHO_BYTES = bytes(range(56))


class LanPods(TwoPods):
    directory = places.BUILD / "test/lan"
    settings = SETTINGS

    def __init__(self):
        super().__init__()
        for pod in self.pods:
            pod.pod.more += "lan = 1\n"
        self.observer = None
        self._echoes = 0

    def make_guests(self):
        return [Guest(name) for name in GUESTS]

    def start(self):
        self.laboratory.start()
        self.observer = Observer(self.laboratory, "lan")
        self.host = Host(LabCable(self.laboratory, "lan", "host"), HOST_MAC, HOST_ADDRESS)
        for pod in self.pods:
            pod.start()
        return self.ready()

    # ---- for tests -------------------------------------------------------------------------------------------------

    @staticmethod
    def port(pod):
        """The pod's second card, as the observer knows it."""
        return pod.name

    def begin(self, name="net_echo", pod=None, more=""):
        """A guest with a card on the LAN, and nothing left of an earlier test; the pod and the guest's MAC address."""
        pod = pod or self.a
        start = pod.log.position
        pod.control.must(f"start {name} image=net_echo.elf devices=net {more}".strip())
        line = pod.wait_log(rf"\[{name}\] # net_echo: ([0-9a-f:]+) address", 20, start)
        return bytes.fromhex(line[1].replace(":", ""))

    def clear(self):
        super().clear()
        if self.observer:
            self.observer.forget()

    def move(self, name, source, options="", seconds=60):
        """Teleports it to the other pod; the flight record."""
        target = self.other(source)
        reply = source.control.must(f"teleport {name} {target.peer_address} {options}".strip(), seconds)
        expect_equal(reply["flight"]["outcome"], "moved", "outcome")
        return reply["flight"]

    def mac_of(self, address):
        """By ARP."""
        def answered():
            self.host.attend()
            return self.host.neighbours.get(address)

        self.host.attend()
        self.host.neighbours.pop(address, None)
        self.host.ask(address)
        return wait_until(answered, ARP_SECONDS, f"no ARP answer for {address}")

    def prober(self, address, interval=0.004):
        return Prober(self.laboratory, self.host, self.mac_of(address), address, interval)

    def ping(self, address=ADDRESS, count=5, interval=0.02):
        """How many of `count` echoes are answered, after an ARP of their own."""
        mac, first = self.mac_of(address), self._echoes + 1
        wanted = {(ECHO_ID, sequence & 0xFFFF) for sequence in range(first, first + count)}
        for _ in range(count):
            self._echoes += 1
            self.host.send_echo(mac, address, Echo(ECHO_REQUEST, ECHO_ID, self._echoes & 0xFFFF, ECHO_BYTES))
            waiting.sleep(interval)
        end = waiting.deadline(PING_SECONDS)
        while True:
            self.host.attend()
            if wanted <= self.host.echoes or waiting.now() >= end:
                return len(wanted & self.host.echoes)
            waiting.sleep(waiting.PAUSE)

    def of_guest(self, mac, since=0):
        """Frames that came into the switch from this station, wherever."""
        return [frame for frame in self.observer.frames(since) if frame.source == mac]

    def port_of(self, pod, guest):
        """The pod's counters of a guest's port."""
        for port in pod.control.must("stats")["switch"]:
            if port["guest"] == guest:
                return port
        return None
