"""Three witnesses of one teleport, who share no clock: how long did the guest stand still?

  pods      the flight record: from the pause on the source to the first entry on the target, by the pods' TSCs, whose offset
            they measured in-band;
  guest     its own longest gap between two reads of its TSC that follow each other;
  outside   the observer's kernel clock, between an answer that came through the source's port and one through the target's.

An observer cannot see the guest stop: he sees the last answer before it and the first one after it, with the guest running
for a while in between. How long it ran is in the answers: each one carries the guest's TSC. Hence

  outside = (heard after - heard before) - (gap_begin - tsc before) / hz - (tsc after - gap_end) / hz

Answers travel for a while, and mostly in the pods, which take frames from their cards and give them to guests in turns; so
of the answers within WINDOW on each side the one is taken that travelled least, by the guest's own TSC. What remains is the
jitter of the fastest. `raw`, last answer to first answer as it was heard, stands beside it. Pure."""
from dataclasses import dataclass

from .errors import Failure, LabError

WINDOW_NS = 150_000_000
SLACK_US = 1000             # between the gap and the answers next to it, which the guest gave a moment earlier or later
LIMIT_US = 5000
LIMIT_SHARE = 0.05


class Unsteady(LabError):
    """The machines' time did not keep up with the host's: this run says nothing."""


@dataclass(frozen=True)
class Testimony:
    pods_us: float
    guest_us: float
    outside_us: float
    raw_us: float           # last answer to first answer
    lost: int               # questions without an answer
    drift_us: float         # how far the fastest answers of a quiet time scatter: the observer's own error

    @property
    def disagreement_us(self):
        values = (self.pods_us, self.guest_us, self.outside_us)
        return max(values) - min(values)

    @property
    def limit_us(self):
        return max(LIMIT_US, LIMIT_SHARE * max(self.pods_us, self.guest_us, self.outside_us))

    def line(self):
        return (f"{self.pods_us / 1000:8.2f} {self.guest_us / 1000:8.2f} {self.outside_us / 1000:8.2f} ms   disagree by "
                f"{self.disagreement_us / 1000:6.2f} ms   (heard: {self.raw_us / 1000:7.2f} ms without an answer, {self.lost} "
                f"questions lost)")


HEADER = "    pods    guest  outside"


def delay(answer):
    """How late it was heard, but for a constant: nanoseconds."""
    return answer.when - answer.tsc * 10**9 // answer.tsc_hz


def split(answers, source, target):
    """Those before and those after the move. The guest answers in one place at a time."""
    before = [a for a in answers if a.port == source]
    after = [a for a in answers if a.port == target]
    if not before or not after:
        raise Failure(f"{len(before)} answers through {source} and {len(after)} through {target}")
    if before[-1].when > after[0].when:
        raise Failure(f"an answer came through {source} {(before[-1].when - after[0].when) / 1e6:.2f} ms after the first one "
                      f"through {target}: the guest ran twice")
    counts = [a.answers for a in (*before, *after)]
    if any(later <= earlier for earlier, later in zip(counts, counts[1:])):
        raise Failure("the guest's count of its answers does not grow")
    stamps = [a.tsc for a in (*before, *after)]
    if any(later <= earlier for earlier, later in zip(stamps, stamps[1:])):
        raise Failure("the guest's TSC ran backwards between two answers")
    return before, after


def fastest(answers):
    return min(answers, key=delay)


def scatter_us(answers):
    """Of the fastest answers of windows of a tenth of WINDOW: how far they are apart."""
    if not answers:
        return 0
    windows = {}
    for answer in answers:
        windows.setdefault((answer.when - answers[0].when) // (WINDOW_NS // 10), []).append(answer)
    best = [delay(fastest(group)) for group in windows.values() if len(group) > 1]
    return (max(best) - min(best)) / 1000 if best else 0


def longest_gap(before, after):
    """(begin, end) of the guest's own longest gap, as the answers after the move tell it; it must be the move's."""
    last, first = before[-1], after[0]
    slack = SLACK_US * first.tsc_hz // 10**6
    begin, end = first.gap_begin, first.gap_end
    if not (last.tsc - slack <= begin <= end <= first.tsc + slack):
        raise Failure(f"the guest's longest gap, {(end - begin) * 1000 / first.tsc_hz:.2f} ms, was not at the move but "
                      f"{(last.tsc - begin) * 1000 / first.tsc_hz:.2f} ms before its last answer on the source")
    return begin, end


def testify(flight, answers, questions, source, target):
    before, after = split(answers, source, target)
    begin, end = longest_gap(before, after)
    near_before = [a for a in before if before[-1].when - a.when <= WINDOW_NS]
    near_after = [a for a in after if a.when - after[0].when <= WINDOW_NS]
    i, j = fastest(near_before), fastest(near_after)
    ran = (begin - i.tsc) + (j.tsc - end)
    heard = {a.number for a in answers}
    return Testimony(pods_us=flight["downtime_us"], guest_us=(end - begin) * 1e6 / i.tsc_hz,
                     outside_us=(j.when - i.when) / 1000 - ran * 1e6 / i.tsc_hz,
                     raw_us=(after[0].when - before[-1].when) / 1000,
                     lost=sum(number not in heard for _, number in questions),
                     drift_us=max(scatter_us(near_before), scatter_us(near_after)))
