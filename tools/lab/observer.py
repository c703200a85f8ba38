"""An independent observer of a LAN: every frame that comes into the bridge, with the port that it came in by and the time
that the kernel gave it (CLOCK_REALTIME, nanoseconds). It sends nothing and asks nobody."""
import os
import select
import socket
import struct
import threading
from dataclasses import dataclass

from .lan import CABLE, TAPS

ETH_P_ALL = 3
SO_TIMESTAMPNS = 35
PACKET_OUTGOING = 4
BUFFER_BYTES = 1 << 24
SO_RCVBUFFORCE = 33
FRAME_MAX = 2048

TYPE_IPV4, TYPE_ARP, TYPE_RARP = 0x0800, 0x0806, 0x8035
ARP_REQUEST, RARP_REQUEST = 1, 3
PROTOCOL_UDP = 17


@dataclass(frozen=True)
class Frame:
    when: int               # nanoseconds
    port: str               # where it came into the bridge: one of lan.TAPS, or lan.CABLE
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
    def __init__(self, lan):
        self._frames = []
        self._lock = threading.Lock()
        self._sockets = {}
        with lan.lan.inside():
            for port in (*TAPS, CABLE):
                sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
                sock.bind((port, ETH_P_ALL))
                sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
                sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
                sock.setblocking(False)
                self._sockets[sock] = port
        self._stop_read, self._stop_write = os.pipe()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self):
        while True:
            ready, _, _ = select.select([*self._sockets, self._stop_read], [], [])
            if self._stop_read in ready:
                return
            for sock in ready:
                self._take(sock)

    def _take(self, sock):
        while True:
            try:
                data, control, _, address = sock.recvmsg(FRAME_MAX, 64)
            except BlockingIOError:
                return
            if address[2] == PACKET_OUTGOING:
                continue
            for level, kind, value in control:
                if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
                    seconds, nanoseconds = struct.unpack("qq", value[:16])
                    with self._lock:
                        self._frames.append(Frame(seconds * 10**9 + nanoseconds, self._sockets[sock], data))

    def frames(self, since=0):
        """All frames from the time `since` on, in the order of their times."""
        with self._lock:
            return sorted((frame for frame in self._frames if frame.when >= since), key=lambda frame: frame.when)

    def forget(self):
        with self._lock:
            self._frames.clear()

    def stop(self):
        os.write(self._stop_write, b"x")
        self._thread.join()
        for sock in self._sockets:
            sock.close()
        os.close(self._stop_read)
        os.close(self._stop_write)
