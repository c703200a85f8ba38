"""`again FILE`: has a run again, by its record, and says `equal`, or where the two differ first: which machine, when, what."""
import json
import struct
import subprocess
import sys
from pathlib import Path

from . import children, places
from .errors import LabError
from .record import EVENTS, FRAMES, RUN, VERSION, commit, digest

INTO = places.BUILD / "again"
SECONDS = 1800                          # of the host's, for the whole run
PACKET, INTERFACE = 6, 1
SAME = ("commit", "changed", "emulator", "module")
WORDS = {"commit": "commit", "changed": "uncommitted changes", "emulator": "emulator", "module": "build of the cable's module"}


def load(path):
    """The record in a file; LabError says what is wrong with it."""
    try:
        run = json.loads(Path(path).read_text())
    except OSError as error:
        raise LabError(f"{path}: {error.strerror}") from None
    except ValueError:
        raise LabError(f"{path} is not the record of a run") from None
    if not isinstance(run, dict) or run.get("version") != VERSION or not run.get("program"):
        raise LabError(f"{path} is not a record of version {VERSION} of a run that can be had again")
    return run


def refuse_another(run):
    """Only the same thing can be had again."""
    now = {**commit(), "emulator": (places.BOCHS.parent / "version").read_text().strip(), "module": digest(places.CABLE_MODULE)}
    for key in SAME:
        if now[key] != run.get(key):
            raise LabError(f"the record is of another {WORDS[key]}: {run.get(key) or 'none'}, and this is {now[key] or 'none'}")
    if run.get("from_the_host"):
        raise LabError(f"programs of the host's put something in {run['from_the_host']} times in that run: it cannot be had again")


def first_line(old, new):
    """(seconds, which machine and what) of the first event that differs, or None."""
    a, b = (path.read_text().split("\n") for path in (old, new))
    for left, right in zip(a, b):
        if left != right:
            when = min(float(line.split()[0]) if line else float("inf") for line in (left, right))
            return when, f"{left or '(the end)'}\n    and now  {right or '(the end)'}"
    return None if len(a) == len(b) else (float((a + b)[min(len(a), len(b)) - 1].split(" ")[0] or 0), "one of them ends earlier")


def packets(path):
    """(seconds, sender, the block's bytes) of a capture of ours."""
    data, at, names = path.read_bytes(), 0, []
    while at + 12 <= len(data):
        kind, size = struct.unpack_from("<II", data, at)
        block = data[at:at + size]
        if kind == INTERFACE:
            length, = struct.unpack_from("<H", block, 18)
            names.append(block[20:20 + length].decode())
        elif kind == PACKET:
            interface, high, low = struct.unpack_from("<III", block, 8)
            yield (high << 32 | low) / 1e9, names[interface], block
        at += size


def first_frame(old, new):
    a, b = list(packets(old)), list(packets(new))
    for left, right in zip(a, b):
        if left != right:
            return min(left[0], right[0]), f"a frame of {left[1]} at {left[0]:.9f}, and now one of {right[1]} at {right[0]:.9f}"
    if len(a) != len(b):
        return (a + b)[-1][0], f"{len(a)} frames, and now {len(b)}"
    return None


def compare(old, new):
    """In words, what differs first; empty: nothing."""
    found = [difference for difference in (first_line(old / EVENTS, new / EVENTS), first_frame(old / FRAMES, new / FRAMES)) if difference]
    if not found:
        results = [json.loads((place / RUN).read_text()).get("results") for place in (old, new)]
        return "" if results[0] == results[1] else "the results differ, and nothing else does"
    when, what = min(found)
    return f"the first difference is at {when:.9f} s:\n    then     {what}"


def again(path):
    run = load(path)
    refuse_another(run)
    old = Path(path).resolve().parent
    for name in (EVENTS, FRAMES):
        if not (old / name).exists():
            raise LabError(f"{old}/{name}, which belongs to the record, is not there")
    program = [sys.executable if word == "python3" else word for word in run["program"]]
    child = children.spawn([*program, "--into", str(INTO)], cwd=places.ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
    try:
        child.wait(SECONDS)
    except subprocess.TimeoutExpired:
        raise LabError(f"it is not at its end after {SECONDS} s") from None
    finally:
        children.stop(child)
    difference = compare(old, INTO)
    print(difference or "equal")
    return 1 if difference else 0
