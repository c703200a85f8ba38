"""A pod with a static address, and one host on its Ethernet that the lab plays frame by frame: ARP and ping."""
import random

from tools.lab import places
from tools.lab.errors import expect, expect_equal
from tools.lab.ethernet import ECHO_DATA_MAX, ECHO_REQUEST, Echo, Host, UdpCable, echo_checksum
from tools.lab.machine import READY
from tools.lab.qemu import QemuMachine, free_port
from tools.lab.run_qemu import NICS
from tools.lab.settings import Machine, Pod

POD_MAC, POD_ADDRESS = bytes.fromhex("525400545001"), "10.0.0.2"
HOST_MAC, HOST_ADDRESS = bytes.fromhex("020000545002"), "10.0.0.1"
STRANGER = "10.0.0.3"
INI = f"[pod]\nname = pod-wire\naddress = {POD_ADDRESS}/24\n"
SIZES = (0, 56, ECHO_DATA_MAX)          # nothing, what ping sends, the largest that needs no fragments
ROUNDS = 8
SPOILS = (0x5555, 0x0001, 0x8000)       # over the right checksum; 0xffff would turn one zero into the other
# A reply's checksum is the request's and 0x0800 more, end-around: about the carry, and at both ends.
EDGES = (0xF7FE, 0xF7FF, 0xF800, 0xFFFE, 0x0000, 0x0001)
IDENTIFIER = 0x7E1E
SECONDS = 60                            # for an answer; it takes milliseconds


class WiredMachine(QemuMachine):
    """Its card is at a cable whose frames are UDP datagrams to `host_port`; without slirp, it has no control port."""

    def __init__(self, settings, pod, directory, cable_port, host_port):
        super().__init__(settings, pod, directory)
        self._cable = f"socket,id=net0,udp=127.0.0.1:{host_port},localaddr=127.0.0.1:{cable_port}"

    def command(self):
        words = super().command()
        words[words.index("-netdev") + 1] = self._cable
        card = words.index(f"{self.settings.nic},netdev=net0")
        words[card] += f",mac={POD_MAC.hex(':')}"
        return words


class Pinger:
    """Echoes to the pod, numbered, their data random but the same in every run."""

    def __init__(self, host):
        self.host = host
        self.sequence = 0
        self.random = random.Random(IDENTIFIER)

    def echo(self, size):
        self.sequence += 1
        return Echo(ECHO_REQUEST, IDENTIFIER, self.sequence, self.random.randbytes(size))

    def send(self, echo, spoil=0):
        self.host.send_echo(POD_MAC, POD_ADDRESS, echo, spoil)

    def answered(self, echo):
        self.host.expect_echo_reply(POD_MAC, POD_ADDRESS, echo, SECONDS)

    def ping(self, echo):
        self.send(echo)
        self.answered(echo)


def check_arp(host):
    """The pod answers for its address and for no other: the answer to the later question comes first."""
    expect_equal(host.arp(POD_ADDRESS, SECONDS), POD_MAC, f"MAC address of {POD_ADDRESS}")
    host.ask(STRANGER)
    expect_equal(host.arp(POD_ADDRESS, SECONDS), POD_MAC, f"MAC address of {POD_ADDRESS}, asked again")


def check_stranger_is_asked(pinger):
    """A ping from a host the pod has never heard of: it has to ask for the way back, and answers."""
    pinger.ping(pinger.echo(56))
    expect(pinger.host.questions > 0, "the pod answered a host whose MAC address it cannot know")


def check_echoes(pinger):
    for size in SIZES * ROUNDS:
        pinger.ping(pinger.echo(size))
    for size in SIZES:
        several = [pinger.echo(size) for _ in range(ROUNDS)]
        for echo in several:
            pinger.send(echo)
        for echo in several:
            pinger.answered(echo)


def check_edges(pinger):
    """Requests whose checksum is at an edge: a reply's that is derived from it must carry around."""
    for edge in EDGES:
        echo = pinger.echo(0)
        # What the identifier grows by, the checksum shrinks by, in ones' complement.
        without = echo_checksum(echo._replace(identifier=0))
        pinger.ping(echo._replace(identifier=(without - edge) % 0xFFFF))


def check_spoilt(pinger):
    """An echo with a wrong checksum gets no answer: that to the good one behind it is the next thing that comes."""
    for size in SIZES:
        for spoil in SPOILS:
            pinger.send(pinger.echo(size), spoil)
            pinger.ping(pinger.echo(size))


def ping(nic):
    def test():
        cable_port = free_port()
        directory = places.BUILD / "test/network" / nic
        cable = UdpCable(cable_port)
        with Host(cable, HOST_MAC, HOST_ADDRESS) as host, \
             WiredMachine(Machine(platform="qemu", nic=nic), Pod("pod-wire", ini=INI), directory,
                          cable_port, cable.port) as pod:
            pod.wait_log(READY, pod.boot_seconds)
            pod.wait_log(rf"net: card 0 .*{NICS[nic]}.* {POD_MAC.hex(':')}", SECONDS)
            pod.wait_log(rf"net: address {POD_ADDRESS}\b", SECONDS)
            pod.wait_log(r"listening on TCP port \d+", SECONDS)
            pinger = Pinger(host)
            check_stranger_is_asked(pinger)
            check_arp(host)
            check_echoes(pinger)
            check_edges(pinger)
            check_spoilt(pinger)
            check_arp(host)

    return test
