"""An observer of a cable: every frame that comes into its switch, with the port that it came in by and the instant. It sends
nothing and asks nobody."""
import struct
from dataclasses import dataclass

TYPE_IPV4, TYPE_ARP, TYPE_RARP = 0x0800, 0x0806, 0x8035
RARP_REQUEST = 3
PROTOCOL_UDP = 17


@dataclass(frozen=True)
class Frame:
    when: int               # nanoseconds of virtual time: when its last bit came into the switch
    port: str               # whose: the sender's name on the cable
    data: bytes

    @property
    def destination(self):
        return self.data[0:6]

    @property
    def source(self):
        return self.data[6:12]

    @property
    def kind(self):
        return int.from_bytes(self.data[12:14], "big")

    @property
    def is_announcement(self):
        """A gratuitous ARP (sender and target address are the same) or a RARP request."""
        operation = int.from_bytes(self.data[20:22], "big")
        if self.kind == TYPE_RARP:
            return operation == RARP_REQUEST
        return self.kind == TYPE_ARP and self.data[28:32] == self.data[38:42] and self.data[28:32] != bytes(4)

    def udp(self):
        """(source address, source port, destination address, destination port, payload), or None."""
        if self.kind != TYPE_IPV4 or len(self.data) < 42 or self.data[23] != PROTOCOL_UDP or self.data[14] != 0x45:
            return None
        source, target, length = struct.unpack("!HHH", self.data[34:40])
        return self.data[26:30], source, self.data[30:34], target, self.data[42:34 + length]


class Observer:
    def __init__(self, laboratory, cable):
        self._frames = []
        laboratory.observe(cable, lambda ns, port, data: self._frames.append(Frame(ns, port, data)))

    def frames(self, since=0):
        """All frames from the time `since` on."""
        return [frame for frame in self._frames if frame.when >= since]

    def forget(self):
        self._frames.clear()
