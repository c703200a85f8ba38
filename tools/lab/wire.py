"""The teleport protocol as net/teleport/wire.h and messages.c lay it out, written a second time from PROTOCOL.md: for tests
that play a source or a target, honest or not. Nothing here is shared with the pods' code."""
import struct

from . import laboratory, waiting
from .errors import LabError
from .machine import TELEPORT_PORT

HEADER = struct.Struct("<HHII")         # type, flags, length, sequence; then the CRC
HEADER_SIZE = 16
MANDATORY = 1

(HELLO, _, ACCEPT, REFUSE, CLOCK_PING, CLOCK_PONG, ROUND_BEGIN, PAGE, ZERO, ROUND_END, ROUND_ACK, STATE, PREPARE, READY,
 COMMIT, RUNNING, AUDIT, AUDIT_RESULT, ABORT, QUERY, STATUS, GOODBYE, GUEST) = range(1, 24)
NAMES = ["", "HELLO", "GUEST of version 1", "ACCEPT", "REFUSE", "CLOCK_PING", "CLOCK_PONG", "ROUND_BEGIN", "PAGE", "ZERO", "ROUND_END",
         "ROUND_ACK", "STATE", "PREPARE", "READY", "COMMIT", "RUNNING", "AUDIT", "AUDIT_RESULT", "ABORT", "QUERY",
         "STATUS", "GOODBYE", "GUEST"]

MAGIC = int.from_bytes(b"TELEPOD1", "little")
VERSION = 2
HELLO_FORM = struct.Struct("<QIIQQ32sII")           # magic, version, oldest, boot id, TSC Hz, pod, control port, -
# epoch, memory, disk; vCPUs, console, devices, state, audit, ranges; name, image, initrd, disk, command line, reason, MAC
GUEST_HEAD = struct.Struct("<QQQ6I32s64s64s64s512s160s8s")
RANGES, KINDS = 4, 32
GUEST_TABLES = struct.Struct(f"<{RANGES}Q{RANGES}Q{RANGES}III{16 * KINDS}s{KINDS}I{KINDS}I")  # ranges; kinds, -, names, versions, counts
GUEST_POLICY_AT = GUEST_HEAD.size + GUEST_TABLES.size
PREPARE_FORM = struct.Struct("<QIIQQqQ")            # epoch, digest, -, pause, guest TSC, offset, its error
TEXT_FORM = struct.Struct("<QII160s")               # epoch, code, -, text
COMMIT_FORM = struct.Struct("<QqQ")                 # epoch, clock offset, its error

SECTION = struct.Struct("<BBH")         # kind (from 1), instance, size; then the fields without their zeros
SECTION_MAX = 4096                      # more bytes than the fields of any section have

CASTAGNOLI = 0x82F63B78                 # reflected


def _crc_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (CASTAGNOLI if byte & 1 else 0)
        table.append(byte)
    return table


_TABLE = _crc_table()


def crc32c(data, crc=0):
    crc ^= 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def pad(payload):
    return payload + bytes(-len(payload) % 8)


def squeeze(fields):
    """Fields without their zeros: see PROTOCOL.md."""
    out, zeros = b"", 0
    for at in range(0, len(fields), 8):
        word = bytes(fields[at:at + 8]).rstrip(b"\0")
        if not word:
            zeros += 1
            continue
        while zeros > 15:
            units = min(zeros // 16, 16)
            out += bytes([(units - 1) << 4])
            zeros -= 16 * units
        out += bytes([zeros << 4 | len(word)]) + word
        zeros = 0
    return out


def unsqueeze(data):
    """Whole words up to the last that is not zero."""
    out, at = bytearray(), 0
    while at < len(data):
        zeros, length = data[at] >> 4, data[at] & 15
        at += 1
        if not length:
            out += bytes(8 * 16 * (zeros + 1))
            continue
        out += bytes(8 * zeros) + data[at:at + length].ljust(8, b"\0")
        at += length
    return bytes(out)


def sections(payload):
    """Of STATE: kind, instance, fields."""
    at = 0
    while at + SECTION.size <= len(payload) and payload[at]:
        kind, instance, size = SECTION.unpack_from(payload, at)
        at += SECTION.size
        yield kind, instance, unsqueeze(payload[at:at + size])
        at += size


def state(found):
    """The opposite."""
    squeezed = [(kind, instance, squeeze(fields)) for kind, instance, fields in found]
    return pad(b"".join(SECTION.pack(kind, instance, len(data)) + data for kind, instance, data in squeezed))


def hello(boot_id=0x1AB, version=VERSION, oldest=VERSION, magic=MAGIC, tsc_hz=50_000_000, pod=b"lab"):
    return HELLO_FORM.pack(magic, version, oldest, boot_id, tsc_hz, pod, 0, 0)


def commit(epoch):
    return Record(COMMIT, COMMIT_FORM.pack(epoch, 0, 0))


def text(epoch, words, code=1):
    return pad(TEXT_FORM.pack(epoch, code, 0, words.encode()))


class Record:
    def __init__(self, kind, payload, flags=MANDATORY):
        self.kind, self.payload, self.flags = kind, bytes(payload), flags

    def __repr__(self):
        name = NAMES[self.kind] if self.kind < len(NAMES) else f"type {self.kind}"
        return f"{name}[{len(self.payload)}]"

    @property
    def words(self):
        """Of REFUSE and ABORT."""
        return TEXT_FORM.unpack(self.payload[:TEXT_FORM.size])[3].split(b"\0")[0].decode("ascii", "replace")


def encode(record, sequence, spoil_crc=0):
    head = HEADER.pack(record.kind, record.flags, len(record.payload), sequence)
    return head + struct.pack("<I", crc32c(head, crc32c(record.payload)) ^ spoil_crc) + record.payload


class Peer:
    """One end of a teleport's connection, bounded in all that it waits for."""

    def __init__(self, connection, seconds=15):
        self.socket = connection
        self.socket.settimeout(seconds)
        self.sent = self.received = 0
        self.sent_digest = self.received_digest = 0

    @classmethod
    def connect(cls, pod, seconds=15):
        try:
            return cls(pod.connect(TELEPORT_PORT), seconds)
        except OSError as error:
            raise LabError(f"cannot connect to the teleport port of {pod.name}: {error}") from None

    def send(self, record):
        data = encode(record, self.sent)
        self.sent += 1
        self.sent_digest = crc32c(data[12:16], self.sent_digest)
        self.send_raw(data)

    def send_raw(self, data):
        """False: the other side has closed."""
        try:
            self.socket.sendall(data)
            return True
        except OSError:
            return False

    def end_sending(self):
        """The other side may have closed by itself."""
        try:
            self.socket.shutdown()
        except OSError:
            pass

    def _exactly(self, size):
        data = b""
        while len(data) < size:
            try:
                more = self.socket.recv(size - len(data))
            except TimeoutError:
                raise LabError("the peer says nothing more") from None
            except OSError:
                more = b""
            if not more:
                return None
            data += more
        return data

    def receive(self):
        """The next record, its CRC and number checked; None when the peer has closed."""
        head = self._exactly(HEADER_SIZE)
        if head is None:
            return None
        kind, flags, length, sequence = HEADER.unpack(head[:12])
        payload = self._exactly(length)
        if payload is None:
            return None
        if crc32c(head[:12], crc32c(payload)) != struct.unpack("<I", head[12:])[0] or sequence != self.received:
            raise LabError(f"a pod sent a damaged record: {NAMES[kind]} {sequence}")
        self.received += 1
        self.received_digest = crc32c(head[12:16], self.received_digest)
        return Record(kind, payload, flags)

    def close(self):
        self.socket.close()


class Listener:
    """Where a pod's source connects to when the lab plays the target."""

    def __init__(self):
        self._listener = laboratory.current().listen()
        self.address = f"{laboratory.HOST}:{self._listener.port}"

    def accept(self, seconds=15):
        try:
            return Peer(self._listener.accept(seconds), seconds)
        except TimeoutError:
            raise LabError("no pod connected") from None

    def close(self):
        self._listener.close()


class FakeTarget:
    """Answers a source as a target does, up to `until`, and keeps what it got."""

    def __init__(self, peer, pod=b"lab"):
        self.peer = peer
        self.pod = pod
        self.records = []
        self.epoch = 0

    def serve(self, until):
        """Handles records until one of kind `until` came (which it leaves unanswered) or the source closes; that record."""
        answers = {HELLO: lambda r: [Record(HELLO, hello(pod=self.pod))], GUEST: self._accept, CLOCK_PING: self._pong,
                   ROUND_END: lambda r: [Record(ROUND_ACK, r.payload)]}
        while (record := self.peer.receive()) is not None:
            self.records.append(record)
            if record.kind == GUEST:
                self.epoch = GUEST_HEAD.unpack(record.payload[:GUEST_HEAD.size])[0]
            if record.kind == until:
                return record
            for answer in answers.get(record.kind, lambda r: [])(record):
                self.peer.send(answer)
        return None

    def _accept(self, _record):
        return [Record(ACCEPT, struct.pack("<Q", self.epoch))]

    @staticmethod
    def _pong(record):
        now = round(waiting.now() * 1e9)
        return [Record(CLOCK_PONG, record.payload[:8] + struct.pack("<QQ", now, now))]

    def ready(self, prepare, digest_change=0):
        epoch, digest = PREPARE_FORM.unpack(prepare.payload)[:2]
        return Record(READY, struct.pack("<QIIQQ", epoch, digest ^ digest_change, 0, 1, 2))

    def running(self):
        return Record(RUNNING, struct.pack("<6Q", self.epoch, *[round(waiting.now() * 1e9)] * 5))
