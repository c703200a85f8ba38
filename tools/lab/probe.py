"""Questions to the net_echo guest, at a fine interval, and its answers as the observer heard them: guests/net_echo.c has the
other end. The prober only sends; what it sent and what came back, and when, is the observer's word."""
import socket
import struct
import threading
import time
from dataclasses import dataclass

PORT = 7777
MAGIC = 0x31524250
NEW_COUNT = 1
FORMAT = struct.Struct("<4I5Q")


@dataclass(frozen=True)
class Answer:
    when: int               # nanoseconds of the observer's clock
    port: str               # where it came into the bridge
    number: int             # of the question
    tsc: int                # of the guest, as it answered
    tsc_hz: int
    gap_begin: int          # TSC: the longest time since the last answer for which the guest was not there
    gap_end: int
    answers: int            # ever given
    program_us: int         # the longest time for which its program did not run; 0: it has no other


def answers(frames):
    found = []
    for frame in frames:
        udp = frame.udp()
        if not udp or udp[1] != PORT or len(udp[4]) < FORMAT.size:
            continue
        magic, number, _, program_us, tsc, hz, begin, end, count = FORMAT.unpack(udp[4][:FORMAT.size])
        if magic == MAGIC:
            found.append(Answer(frame.when, frame.port, number, tsc, hz, begin, end, count, program_us))
    return found


def questions(frames):
    """[(when, number)] as they came from the host into the bridge."""
    found = []
    for frame in frames:
        udp = frame.udp()
        if udp and udp[3] == PORT and len(udp[4]) >= FORMAT.size:
            found.append((frame.when, FORMAT.unpack(udp[4][:FORMAT.size])[1]))
    return found


class Prober:
    """Asks `address` every `interval` seconds from start() to stop(). Each question asks for a new count: an answer tells the
    longest gap since the answer before it."""

    def __init__(self, lan, address, interval=0.004):
        with lan.host.inside():
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._to = (address, PORT)
        self._interval = interval
        self._number = 0
        self._running = False

    def start(self):
        self._running = True
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()
        return self

    def _ask(self):
        due = time.monotonic()
        while self._running:
            self._number += 1
            try:
                self._socket.sendto(FORMAT.pack(MAGIC, self._number, NEW_COUNT, 0, 0, 0, 0, 0, 0), self._to)
            except OSError:
                pass                    # no neighbour yet, or a full queue: it counts as a question that was not asked
            try:
                while self._socket.recv(256):
                    pass
            except OSError:
                pass
            due = max(due + self._interval, time.monotonic() - 10 * self._interval)
            time.sleep(max(0, due - time.monotonic()))

    def stop(self):
        if self._running:
            self._running = False
            self._thread.join()
        self._socket.close()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()
