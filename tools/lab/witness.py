"""Three witnesses of one teleport, each with a clock of its own: how long did the guest stand still?

  pods      the flight record: from the pause on the source to the first entry on the target, by the pods' TSCs, whose offset
            they measured in-band;
  guest     the longest gap between two instants that follow each other of its own TSC, from its last answer before to its first
            answer after the move: between reads by a program that does nothing else (net_echo), or, in Linux, where programs
            wait for each other, between timer interrupts;
  outside   virtual time at the cable's switch, between an answer that came through the source's port and one through the target's.

An observer cannot see the guest stop: he sees the last answer before it and the first one after it, with the guest running
for a while in between. How long it ran is in the answers: each one carries the guest's TSC. Hence

  outside = (heard after - heard before) - (gap_begin - tsc before) / hz - (tsc after - gap_end) / hz

Answers travel for a while, and mostly in the pods, which take frames from their cards and give them to guests in turns; so
of the answers within WINDOW on each side the one is taken that travelled least, by the guest's own TSC. What remains is the
jitter of the fastest. `raw`, last answer to first answer as it was heard, stands beside it. Pure."""
from dataclasses import dataclass

from .errors import Failure

WINDOW_NS = 150_000_000
SLACK_US = 2000             # between the gap and the answers next to it, which the guest gave a moment earlier or later
LIMIT_US = 200


@dataclass(frozen=True)
class Testimony:
    pods_us: float
    guest_us: float
    outside_us: float
    raw_us: float           # last answer to first answer
    lost: int               # questions without an answer
    drift_us: float         # how far the fastest answers of a quiet time scatter: the observer's own error
    elsewhere_us: float     # the guest's longest gap besides: while it was copied, or began to run on the target
    program_us: float       # the longest time for which a program of the guest's that wants to run did not; 0: not told
    unheard: int            # answers that the guest gave in between, and nobody heard: mostly just before the pause
    clocks_us: float        # how far off the pods' offset may be, by their own word

    @property
    def disagreement_us(self):
        values = (self.pods_us, self.guest_us, self.outside_us)
        return max(values) - min(values)

    def line(self):
        program = f"; its own program was away for {self.program_us / 1000:.2f} ms" if self.program_us else ""
        return (f"{self.pods_us / 1000:8.2f} {self.guest_us / 1000:8.2f} {self.outside_us / 1000:8.2f} ms   disagree by "
                f"{self.disagreement_us / 1000:6.2f} ms   (heard: {self.raw_us / 1000:7.2f} ms without an answer, {self.lost} "
                f"lost; the guest's next longest gap: {self.elsewhere_us / 1000:.2f} ms{program})")


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


def move_gap(before, after):
    """The answer that tells of the move: of those within WINDOW after it, the one with the longest gap, which must lie behind
    the last answer on the source. Not always the first one: an answer given just before the pause may have travelled along
    in the guest's send queue, and leave it on the target."""
    near = [a for a in after if a.when - after[0].when <= WINDOW_NS]
    told = max(near, key=lambda a: a.gap_end - a.gap_begin)
    slack = SLACK_US * told.tsc_hz // 10**6
    if not (before[-1].tsc - slack <= told.gap_begin <= told.gap_end <= told.tsc):
        raise Failure(f"the guest tells of a gap, {(told.gap_end - told.gap_begin) * 1000 / told.tsc_hz:.2f} ms, that began "
                      f"{(before[-1].tsc - told.gap_begin) * 1000 / told.tsc_hz:.2f} ms before its last answer on the source")
    return told


def testify(flight, answers, questions, source, target):
    before, after = split(answers, source, target)
    told = move_gap(before, after)
    near_before = [a for a in before if before[-1].when - a.when <= WINDOW_NS]
    # Answers that were given before the pause, and heard after it, tell nothing of the time between.
    near_after = [a for a in after if a.tsc >= told.tsc and a.when - after[0].when <= 2 * WINDOW_NS]
    i, j = fastest(near_before), fastest(near_after)
    ran = (told.gap_begin - i.tsc) + (j.tsc - told.gap_end)
    heard = {a.number for a in answers}
    return Testimony(pods_us=flight["downtime_us"], guest_us=(told.gap_end - told.gap_begin) * 1e6 / i.tsc_hz,
                     outside_us=(j.when - i.when) / 1000 - ran * 1e6 / i.tsc_hz,
                     raw_us=(after[0].when - before[-1].when) / 1000,
                     lost=sum(number not in heard for _, number in questions),
                     drift_us=max(scatter_us(near_before), scatter_us(near_after)),
                     elsewhere_us=max((a.gap_end - a.gap_begin) * 1e6 / a.tsc_hz for a in (*before, *after) if a is not told),
                     program_us=told.program_us, unheard=after[0].answers - before[-1].answers - 1,
                     clocks_us=flight["clock"]["offset_error_us"])
