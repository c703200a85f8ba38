"""The laboratory's library in C (tools/lab/cable/), as Python calls it; lab.h and fabric.h say what each call does."""
import _ctypes
import ctypes
import itertools
import struct

from . import places
from .errors import LabError

THERE, NEWS, WAITING = range(3)
STARTING, RUNS, ENDED = range(3)
LOG, COM1, COM2 = range(3)
OPEN, PEER_ENDED, FAILED = 1, 2, 4      # of a connection
ANY = -1
ACTIONS = ["drop", "duplicate", "delay", "corrupt", "cut"]
TRIGGERS = ["frame", "time", "record"]
ROOM = 1 << 20
OUTPUT_HEAD, FRAME_HEAD = struct.Struct("<QHHI"), struct.Struct("<QII")


class LinkProfile(ctypes.Structure):
    _fields_ = [("bits_per_s", ctypes.c_uint64), ("latency_ns", ctypes.c_uint64), ("queue_bytes", ctypes.c_uint32),
                ("frame_max", ctypes.c_uint32), ("loss", ctypes.c_uint32), ("duplication", ctypes.c_uint32),
                ("reordering", ctypes.c_uint32), ("corruption", ctypes.c_uint32), ("reorder_ns", ctypes.c_uint64)]


class FaultRule(ctypes.Structure):
    _fields_ = [("action", ctypes.c_uint32), ("trigger", ctypes.c_uint32), ("value", ctypes.c_uint64), ("segment", ctypes.c_int32),
                ("sender", ctypes.c_int32), ("receiver", ctypes.c_int32), ("both", ctypes.c_uint32), ("frames", ctypes.c_uint32),
                ("reserved", ctypes.c_uint32), ("ns", ctypes.c_uint64), ("seen", ctypes.c_uint64), ("done", ctypes.c_uint64),
                ("since", ctypes.c_uint64)]


class Counts(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("sent", "received", "queue_full", "oversize", "lost", "duplicated", "reordered",
                                                     "corrupted", "faulted")]


_i, _u, _u16, _u32, _u64, _size = (ctypes.c_int, ctypes.c_uint, ctypes.c_uint16, ctypes.c_uint32, ctypes.c_uint64, ctypes.c_size_t)
_text, _bytes, _bool = ctypes.c_char_p, ctypes.c_char_p, ctypes.c_bool
FUNCTIONS = {
    "lab_shared_size": (_size, []), "lab_open": (_i, [_i, _u64, _u16, _u16]), "lab_capture": (_i, [_text, _u32]), "lab_close": (None, []),
    "lab_now": (_u64, []), "lab_quantum": (_u64, []), "lab_run": (_i, [_u64, _bool]), "lab_waits_for": (_i, []),
    "lab_add_machine": (_i, [_u64, _u32]), "lab_remove_machine": (None, [_u]), "lab_machine_state": (_i, [_u]),
    "lab_machine_ticks": (_u64, [_u]), "lab_type": (_size, [_u, _u, _bytes, _size]), "lab_take_output": (_size, [_bytes, _size]),
    "lab_add_segment": (_i, [ctypes.POINTER(LinkProfile)]), "lab_add_card": (_i, [_u, _u, _u, _text]),
    "lab_add_station": (_i, [_u, _text, _text, _bytes, _text]), "lab_add_raw": (_i, [_u, _text]),
    "lab_add_fault": (_i, [ctypes.POINTER(FaultRule)]), "lab_fault": (ctypes.POINTER(FaultRule), [_u]),
    "lab_counts": (ctypes.POINTER(Counts), [_u]), "lab_send": (_bool, [_u, _bytes, _u32]), "lab_take_frames": (_size, [_bytes, _size]),
    "lab_observe": (None, [_u, _bool]), "lab_take_observed": (_size, [_bytes, _size]),
    "station_connect": (_i, [_text, _u16]), "station_listen": (_i, [_u16]), "station_accept": (_i, [_i]), "station_status": (_u, [_i]),
    "station_readable": (_size, [_i]), "station_unsent": (_size, [_i]), "station_read": (_size, [_i, _bytes, _size]),
    "station_write": (_bool, [_i, _bytes, _size]), "station_end": (None, [_i]), "station_close": (None, [_i, _bool]),
}


class Library:
    """Loaded afresh for each laboratory, because lwIP keeps its state in globals: every run begins with the same. Calls are its
    attributes."""

    def __init__(self):
        if not places.CABLE_LIB.exists():
            raise LabError(f"{places.CABLE_LIB.relative_to(places.ROOT)} is not built: make image builds it")
        self._library = ctypes.CDLL(str(places.CABLE_LIB))
        for name, (result, arguments) in FUNCTIONS.items():
            function = getattr(self._library, name)
            function.restype, function.argtypes = result, arguments
            setattr(self, name, function)
        self._room = ctypes.create_string_buffer(ROOM)

    def unload(self):
        handle, self._library = self._library._handle, None
        for name in FUNCTIONS:
            delattr(self, name)
        _ctypes.dlclose(handle)

    def _pieces(self, take, head):
        """(what the head says, bytes) until nothing is left."""
        while size := take(self._room, ROOM):
            data, at = self._room.raw[:size], 0
            while at < size:
                *fields, length = head.unpack_from(data, at)
                at += head.size
                yield (*fields, data[at:at + length])
                at += length

    def output(self):
        """(ns, machine, stream, bytes)"""
        return self._pieces(self.lab_take_output, OUTPUT_HEAD)

    def frames(self):
        """(ns, port, bytes) that came to raw ports."""
        return self._pieces(self.lab_take_frames, FRAME_HEAD)

    def observed(self):
        """(ns, the sender's port, bytes) on the segments that are observed."""
        return self._pieces(self.lab_take_observed, FRAME_HEAD)

    def faults(self):
        for index in itertools.count():
            rule = self.lab_fault(index)
            if not rule:
                return
            yield rule.contents
