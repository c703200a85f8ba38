"""Questions to the net_echo guest, at a fine interval, and its answers as the observer heard them: guests/net_echo.c has the
other end. The prober only sends; what it sent and what came back, and when, is the observer's word."""
import struct
from dataclasses import dataclass

PORT = 7777
MAGIC = 0x31524250
NEW_COUNT = 1
FORMAT = struct.Struct("<4I5Q")


@dataclass(frozen=True)
class Answer:
    when: int               # nanoseconds of the observer's clock
    port: str               # whose, on the cable
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
    """[(when, number)] as they came into the switch."""
    found = []
    for frame in frames:
        udp = frame.udp()
        if udp and udp[3] == PORT and len(udp[4]) >= FORMAT.size:
            found.append((frame.when, FORMAT.unpack(udp[4][:FORMAT.size])[1]))
    return found


class Prober:
    """Asks `address` every `interval` seconds of virtual time while the `with` lasts. Each question asks for a new count: an answer
    tells the longest gap since the answer before it."""

    def __init__(self, laboratory, host, mac, address, interval=0.004):
        self._laboratory, self._host = laboratory, host
        self._to = (mac, address)
        self._interval = interval
        self._number = 0

    def _ask(self):
        self._host.attend()
        self._number += 1
        self._host.send_udp(*self._to, PORT, FORMAT.pack(MAGIC, self._number, NEW_COUNT, 0, 0, 0, 0, 0, 0))

    def __enter__(self):
        self._ticker = self._laboratory.every(self._interval, self._ask)
        return self

    def __exit__(self, *_):
        self._ticker.stop()
