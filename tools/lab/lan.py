"""A LAN for guests: in one namespace a bridge with a tap for each pod's second card, and a cable to another namespace with
a Linux host on it, which has a DHCP server and, for tests, ping, curl and whatever else a host has.

    namespace "lan":  tap-a  tap-b  to-host   -- all three on the bridge --
    namespace "host":               eth0      192.168.77.1/24, udhcpd

The pods' machines live in "lan" as well, because a tap is where its bridge is: the lab's own sockets to them are made there
(Namespace.inside)."""
import ipaddress
import shutil
import subprocess
import time

from . import children
from .errors import LabError
from .netns import Namespace

NETWORK = ipaddress.ip_network("192.168.77.0/24")
HOST = str(NETWORK[1])
LEASES = (NETWORK[100], NETWORK[199])
TAPS = ("tap-a", "tap-b")
CABLE = "to-host"
BRIDGE = "br0"
QUEUE = "10000"             # frames: the emulated card takes one a millisecond
DHCPD = """\
start {first}
end {last}
interface eth0
lease_file {directory}/leases
pidfile {directory}/udhcpd.pid
option subnet {mask}
option router {host}
option lease 864000
"""


class Lan:
    def __init__(self, directory):
        self.directory = directory

    def start(self):
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True)
        self.lan, self.host = Namespace("lan"), Namespace("host")
        try:
            self._wire()
            self._serve_addresses()
        except BaseException:
            self.stop()
            raise
        return self

    def _wire(self):
        """No spanning tree, no multicast snooping: a port forwards at once. One frame a time on the cable."""
        self.lan.ip("link", "add", BRIDGE, "type", "bridge", "stp_state", "0", "forward_delay", "0", "mcast_snooping", "0")
        self.lan.ip("link", "add", CABLE, "type", "veth", "peer", "name", "eth0", "netns", self.host.name)
        for tap in TAPS:
            self.lan.ip("tuntap", "add", tap, "mode", "tap")
        for port in (*TAPS, CABLE):
            self.lan.ip("link", "set", port, "txqueuelen", QUEUE, "master", BRIDGE, "up")
        self.lan.ip("link", "set", BRIDGE, "up")
        self.host.ip("address", "add", f"{HOST}/{NETWORK.prefixlen}", "dev", "eth0")
        self.host.ip("link", "set", "eth0", "gso_max_segs", "1", "up")

    def _serve_addresses(self):
        config = self.directory / "udhcpd.conf"
        config.write_text(DHCPD.format(first=LEASES[0], last=LEASES[1], mask=NETWORK.netmask, host=HOST,
                                       directory=self.directory))
        (self.directory / "leases").touch()
        self.log = open(self.directory / "udhcpd.log", "wb")
        self._dhcpd = self.spawn(["busybox", "udhcpd", "-f", str(config)], stdout=self.log, stderr=self.log)
        time.sleep(0.1)
        if self._dhcpd.poll() is not None:
            raise LabError(f"the DHCP server did not start: see {self.directory}/udhcpd.log")

    def spawn(self, words, **options):
        """A program on the host, for as long as the LAN lives."""
        return children.spawn(self.host.command(words), **options)

    def run(self, words, seconds):
        """A program on the host that ends by itself: its result."""
        return subprocess.run(self.host.command(words), capture_output=True, text=True, timeout=seconds)

    def stop(self):
        if getattr(self, "_dhcpd", None):
            children.stop(self._dhcpd)
            self.log.close()
        for namespace in (self.lan, self.host):
            namespace.remove()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()
