"""A host on a pod's Ethernet, played frame by frame: ARP, IPv4 and ICMP echo as RFC 826, 791 and 792 lay them out.
Nothing here is shared with the pods' code, or with the network stack below the lab: what a pod sends is checked down to
every checksum."""
import socket
import struct
from collections import deque, namedtuple

from .errors import Failure, LabError, expect, expect_equal
from .waiting import PAUSE, deadline, now, sleep

BROADCAST = b"\xff" * 6
GROUP = 1                               # in a MAC address's first byte: to several
FRAME_MIN, FRAME_MAX = 60, 1514         # without the frame check sequence, which no virtual cable carries
ETHERNET = struct.Struct(">6s6sH")      # to, from, type
TYPE_IPV4, TYPE_ARP = 0x0800, 0x0806

ARP = struct.Struct(">HHBBH6s4s6s4s")   # hardware, protocol, their address lengths, operation, sender, target
ARP_KIND = (1, TYPE_IPV4, 6, 4)         # Ethernet and IPv4
ARP_REQUEST, ARP_REPLY = 1, 2

IPV4 = struct.Struct(">BBHHHBBH4s4s")   # version and length, -, size, id, fragment, TTL, protocol, checksum, from, to
IPV4_PLAIN = 0x45                       # version 4, five words: no options
FRAGMENT_MASK = 0x3FFF                  # more fragments, or not the first
PROTOCOL_ICMP, PROTOCOL_UDP = 1, 17
UDP = struct.Struct(">HHHH")           # from, to, length, checksum
TTL = 64

ICMP = struct.Struct(">BBHHH")          # type, code, checksum, identifier, sequence
ECHO_REPLY, ECHO_REQUEST = 0, 8

ECHO_DATA_MAX = FRAME_MAX - ETHERNET.size - IPV4.size - ICMP.size

Arp = namedtuple("Arp", "operation sender_mac sender target_mac target")
Echo = namedtuple("Echo", "kind identifier sequence data")


def internet_sum(data):
    """RFC 1071: the 16-bit ones' complement sum, 0xffff over anything that holds its own right checksum."""
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def checksum(data):
    return internet_sum(data) ^ 0xFFFF


def encode_arp(arp):
    return ARP.pack(*ARP_KIND, *arp)


def decode_arp(body):
    expect(len(body) >= ARP.size, f"an ARP packet of {len(body)} bytes")
    fields = ARP.unpack(body[:ARP.size])
    expect_equal(fields[:4], ARP_KIND, "address kinds and lengths of an ARP packet")
    return Arp(*fields[4:])


def echo_checksum(echo):
    return checksum(ICMP.pack(echo.kind, 0, 0, echo.identifier, echo.sequence) + echo.data)


def encode_echo(echo, spoil=0):
    """`spoil` is put over the right checksum."""
    return ICMP.pack(echo.kind, 0, echo_checksum(echo) ^ spoil, echo.identifier, echo.sequence) + echo.data


def decode_echo(message):
    expect(len(message) >= ICMP.size, f"an ICMP message of {len(message)} bytes")
    kind, code, _, identifier, sequence = ICMP.unpack(message[:ICMP.size])
    expect_equal(internet_sum(message), 0xFFFF, f"sum over an ICMP message of type {kind}, its checksum included")
    expect_equal(code, 0, f"ICMP code, type {kind}")
    return Echo(kind, identifier, sequence, message[ICMP.size:])


def encode_ipv4(source, target, protocol, payload, identification=0):
    fields = [IPV4_PLAIN, 0, IPV4.size + len(payload), identification, 0, TTL, protocol, 0, source, target]
    fields[7] = checksum(IPV4.pack(*fields))
    return IPV4.pack(*fields) + payload


def decode_ipv4(body):
    """(from, to, protocol, payload) of a datagram that is whole; what pads the frame is cut off."""
    expect(len(body) >= IPV4.size, f"an IPv4 datagram of {len(body)} bytes")
    version, _, size, _, fragment, ttl, protocol, _, source, target = IPV4.unpack(body[:IPV4.size])
    expect_equal(version, IPV4_PLAIN, "IPv4 version and header length")
    expect_equal(internet_sum(body[:IPV4.size]), 0xFFFF, "sum over an IPv4 header, its checksum included")
    expect(IPV4.size <= size <= len(body), f"an IPv4 datagram says {size} bytes, the frame has {len(body)}")
    expect_equal(fragment & FRAGMENT_MASK, 0, "fragment fields of an IPv4 datagram")
    expect(ttl > 0, "an IPv4 datagram has no time to live")
    return source, target, protocol, body[IPV4.size:size]


class UdpCable:
    """A cable whose frames are UDP datagrams of the loopback device: QEMU's. In the host's time."""

    def __init__(self, machine_port):
        """The machine's end is 127.0.0.1:machine_port."""
        self._machine = ("127.0.0.1", machine_port)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]

    def close(self):
        self._socket.close()

    def send(self, frame):
        self._socket.sendto(frame, self._machine)

    def receive(self, seconds):
        """The next frame; None when none came in time."""
        end = deadline(seconds)
        while (left := end - now()) > 0:
            self._socket.settimeout(left)
            try:
                frame, sender = self._socket.recvfrom(2 * FRAME_MAX)
            except TimeoutError:
                return None
            except OSError as error:
                raise LabError(f"the cable: {error}") from None
            if sender == self._machine:
                return frame
        return None


class LabCable:
    """A port on one of the laboratory's cables."""

    def __init__(self, laboratory, cable, name):
        self._frames = deque()
        self._port = laboratory.raw_port(cable, name, lambda ns, frame: self._frames.append(frame))

    def close(self):
        pass

    def send(self, frame):
        self._port.send(frame)

    def receive(self, seconds):
        end = deadline(seconds)
        while not self._frames and now() < end:
            sleep(PAUSE)
        return self._frames.popleft() if self._frames else None

    def take(self):
        """All that has come so far."""
        frames = list(self._frames)
        self._frames.clear()
        return frames


class Host:
    """One host at the other end of a cable. It answers ARP for its own address alone."""

    def __init__(self, cable, mac, address):
        self.mac, self.address = mac, socket.inet_aton(address)
        self._cable = cable
        self._identification = 0
        self.neighbours = {}            # MAC addresses by IPv4 addresses, from answers that attend() has seen
        self.echoes = set()             # (identifier, sequence) of answers that attend() has seen
        self.questions = 0              # of others, for this host's MAC address

    def close(self):
        self._cable.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, target_mac, kind, body):
        frame = ETHERNET.pack(target_mac, self.mac, kind) + body
        self._cable.send(frame + bytes(max(0, FRAME_MIN - len(frame))))

    def _frame(self, end):
        """The next (to, from, type, body), or None when none came in time."""
        frame = self._cable.receive(max(0, end - now()))
        if frame is None:
            return None
        expect(ETHERNET.size <= len(frame) <= FRAME_MAX, f"a frame of {len(frame)} bytes")
        return *ETHERNET.unpack(frame[:ETHERNET.size]), frame[ETHERNET.size:]

    def _arp_came(self, source_mac, body):
        """Answers a question for this host; returns a reply."""
        arp = decode_arp(body)
        expect_equal(arp.sender_mac, source_mac, "sender of an ARP packet, against its frame's")
        if arp.operation == ARP_REQUEST and arp.target == self.address:
            self.questions += 1
            reply = Arp(ARP_REPLY, self.mac, self.address, arp.sender_mac, arp.sender)
            self.send(arp.sender_mac, TYPE_ARP, encode_arp(reply))
        return arp if arp.operation == ARP_REPLY else None

    def receive(self, seconds):
        """The next (from MAC, from address, Arp reply or Echo) for this host, or None after the time. What a pod says
        to all (its own questions, its announcements) is looked at and passed over."""
        end = deadline(seconds)
        while frame := self._frame(end):
            target_mac, source_mac, kind, body = frame
            expect(target_mac == self.mac or target_mac[0] & GROUP, f"a frame for a stranger: {target_mac.hex(':')}")
            if kind == TYPE_ARP:
                reply = self._arp_came(source_mac, body)
                if reply and target_mac == self.mac:
                    return source_mac, reply.sender, reply
            elif kind == TYPE_IPV4 and target_mac == self.mac:
                source, target, protocol, payload = decode_ipv4(body)
                expect_equal(target, self.address, "receiver of an IPv4 datagram")
                if protocol == PROTOCOL_ICMP:
                    return source_mac, source, decode_echo(payload)
        return None

    def attend(self):
        """Answers what came meanwhile and asks for this host's address, and notes who answered; all else is passed over."""
        for frame in self._cable.take():
            target_mac, source_mac, kind = ETHERNET.unpack(frame[:ETHERNET.size])
            body = frame[ETHERNET.size:]
            if kind == TYPE_ARP:
                reply = self._arp_came(source_mac, body)
                if reply:
                    self.neighbours[socket.inet_ntoa(reply.sender)] = source_mac
            elif kind == TYPE_IPV4 and target_mac == self.mac:
                _, _, protocol, payload = decode_ipv4(body)
                if protocol == PROTOCOL_ICMP and (echo := decode_echo(payload)).kind == ECHO_REPLY:
                    self.echoes.add((echo.identifier, echo.sequence))

    def send_udp(self, mac, address, port, data):
        """From the same port. Without a checksum, as RFC 768 allows."""
        self._identification = (self._identification + 1) & 0xFFFF
        self.send(mac, TYPE_IPV4, encode_ipv4(self.address, socket.inet_aton(address), PROTOCOL_UDP,
                                              UDP.pack(port, port, UDP.size + len(data), 0) + data, self._identification))

    def ask(self, address):
        """Who has this address? To all, as RFC 826 says."""
        arp = Arp(ARP_REQUEST, self.mac, self.address, bytes(6), socket.inet_aton(address))
        self.send(BROADCAST, TYPE_ARP, encode_arp(arp))

    def arp(self, address, seconds):
        """The MAC address that owns an IPv4 address. Failure when nobody answers in time, or wrongly."""
        self.ask(address)
        came = self.receive(seconds)
        if not came:
            raise Failure(f"no ARP answer for {address} within {seconds} s")
        source_mac, sender, reply = came
        expect_equal((type(reply), sender), (Arp, socket.inet_aton(address)), "what an ARP answer tells of")
        expect_equal((reply.target_mac, reply.target), (self.mac, self.address), "whom an ARP answer is for")
        return source_mac

    def send_echo(self, mac, address, echo, spoil=0):
        self._identification = (self._identification + 1) & 0xFFFF
        self.send(mac, TYPE_IPV4, encode_ipv4(self.address, socket.inet_aton(address), PROTOCOL_ICMP,
                                              encode_echo(echo, spoil), self._identification))

    def expect_echo_reply(self, mac, address, echo, seconds):
        """The next thing that comes is the right reply to `echo`."""
        came = self.receive(seconds)
        what = f"echo {echo.sequence} with {len(echo.data)} bytes"
        if not came:
            raise Failure(f"no reply to {what} within {seconds} s")
        expect_equal(came[:2], (mac, socket.inet_aton(address)), f"sender of the reply to {what}")
        reply = came[2]
        expect_equal(reply[:-1], (ECHO_REPLY, echo.identifier, echo.sequence), f"kind and numbers, {what}")
        expect(reply.data == echo.data, f"the reply to {what} has other data, {len(reply.data)} bytes")
