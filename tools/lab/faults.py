"""Faults by script: a line each, of words in any order.

    ACTION at=frame:N | at=time:SECONDS | at=record:NAME  [from=WHO] [to=WHO] [both] [on=CABLE] [frames=N] [by=SECONDS] [for=SECONDS]

ACTION is drop, duplicate, delay, corrupt or cut. WHO is a machine or `lab`; without from and to it is every frame on the cable, and
`both` adds the other direction. A frame is counted among those that match; a record is a name of PROTOCOL.md. `frames` is how many
frames it is done to (1 unless said), `by` how late a delayed one is, `for` how long a cut lasts (for good unless said). CABLE is
`net`, which carries control and teleports, unless said, or `lan`, the guests'."""
import re
from dataclasses import dataclass

from .library import ACTIONS, ANY, TRIGGERS, FaultRule
from .errors import LabError

WORD = re.compile(r"^(at|from|to|on|frames|by|for)=(.+)$")
NS = 1_000_000_000


@dataclass(frozen=True)
class Fault:
    text: str
    action: str
    trigger: str
    value: int                  # frame; nanoseconds; type of record
    sender: str = ""
    receiver: str = ""
    both: bool = False
    cable: str = "net"
    frames: int = 1
    ns: int = 0                 # of a delay or a cut

    def rule(self, segment, port_of):
        """For the fabric; port_of(name) is that participant's port there."""
        return FaultRule(ACTIONS.index(self.action), TRIGGERS.index(self.trigger), self.value, segment,
                         port_of(self.sender) if self.sender else ANY, port_of(self.receiver) if self.receiver else ANY,
                         self.both, self.frames, 0, self.ns, 0, 0, 0)


def seconds(text, complain):
    if not re.fullmatch(r"\d+(\.\d+)?", text):
        complain(f"{text!r} is not a number of seconds")
    return round(float(text) * NS)


def count(text, complain):
    if not re.fullmatch(r"[1-9]\d*", text):
        complain(f"{text!r} is not a number from 1")
    return int(text)


def trigger(text, records, complain):
    kind, _, value = text.partition(":")
    if kind not in TRIGGERS or not value:
        complain(f"at={text} is none of at=frame:N, at=time:SECONDS, at=record:NAME")
    if kind == "record":
        if value not in records:
            complain(f"there is no record {value}: {', '.join(name for name in records if name)}")
        return kind, records.index(value)
    return kind, (count if kind == "frame" else seconds)(value, complain)


def parse(line, records):
    """One fault; `records` are the protocol's names by their types. LabError says what is wrong with the line."""
    def complain(why):
        raise LabError(f"fault {line.strip()!r}: {why}")

    action, *words = line.split()
    if action not in ACTIONS:
        complain(f"{action} is none of {', '.join(ACTIONS)}")
    found = {}
    for word in words:
        if word == "both":
            found["both"] = True
            continue
        match = WORD.match(word)
        if not match:
            complain(f"{word!r} is not understood")
        if match[1] in found:
            complain(f"{match[1]}= is there twice")
        found[match[1]] = match[2]
    if "at" not in found:
        complain("it does not say when: at=frame:N, at=time:SECONDS or at=record:NAME")
    cable = found.get("on", "net")
    if cable not in ("net", "lan"):
        complain(f"on={cable} is neither net nor lan")
    for word, actions in (("by", ["delay"]), ("for", ["cut"]), ("frames", [name for name in ACTIONS if name != "cut"])):
        if word in found and action not in actions:
            complain(f"{word}= is for {', '.join(actions)}")
    if action == "delay" and "by" not in found:
        complain("it does not say by how long: by=SECONDS")
    if found.get("both") and not ("from" in found or "to" in found):
        complain("both needs from= or to=")
    kind, value = trigger(found["at"], records, complain)
    return Fault(line.strip(), action, kind, value, found.get("from", ""), found.get("to", ""), found.get("both", False), cable,
                 count(found.get("frames", "1"), complain), seconds(found.get("by", found.get("for", "0")), complain))


def parse_all(text, records):
    """Of a script: a fault a line, or several with semicolons between; # begins a remark."""
    lines = [line.split("#")[0] for part in text.split("\n") for line in part.split(";")]
    return [parse(line, records) for line in lines if line.strip()]
