"""What guests say on their serial line, and whether it is the truth: pure functions over text. The text of a guest that
moved is the concatenation of what each pod's line showed, so a line may begin on one pod and end on the other."""
import re

from .errors import Failure, expect

TICK = re.compile(r"^tick (\d+) tsc (\d+) late (\d+)$")
SMP_ROUND = re.compile(r"^smp: round (\d+) count (\d+) shots (\d+) tsc (\d+)$")
STATE = re.compile(r"^(?:fpu: )?state ok (\d+)$")
LETTERS = "abcdefghijklmnopqrstuvwxyz"
STATUS = re.compile(r"(ok|BAD) rounds=(\d+) written=(\d+) checked=(\d+) mismatches=(\d+) full_sweeps=(\d+) "
                    r"tsc_backwards=(\d+) tsc=(\d+)")


def whole_lines(text):
    return [line for line in text.replace("\r", "").split("\n")[:-1] if line]


def check_clock(text, first=1):
    """The ticks are numbered without gap, repetition or disorder, and the TSC only grows. Returns how many there are."""
    expected, last_tsc = first, -1
    for line in whole_lines(text):
        expect("ERROR" not in line and "FAIL" not in line, f"the guest complains: {line}")
        match = TICK.match(line)
        if line.startswith("tick"):
            expect(match, f"a tick's line is damaged: {line!r}")
        if not match:
            continue
        tick, tsc = int(match[1]), int(match[2])
        if expected is None:
            expected = tick
        expect(tick == expected, f"tick {expected} expected, tick {tick} came")
        expect(tsc > last_tsc, f"the TSC ran backwards at tick {tick}: {last_tsc} then {tsc}")
        expected, last_tsc = expected + 1, tsc
    return expected - (first or 0)


def check_smp(text):
    """Rounds without gap, and nothing to complain of: what happens inside of a round the guest itself has checked. Returns how
    many there are."""
    rounds, last_tsc = 0, -1
    for line in whole_lines(text):
        expect("FAIL" not in line and "unexpected" not in line, f"the guest complains: {line}")
        match = SMP_ROUND.match(line)
        expect(match or not line.startswith("smp: round"), f"a round's line is damaged: {line!r}")
        if not match:
            continue
        expect(int(match[1]) == rounds + 1, f"round {rounds + 1} expected, round {match[1]} came")
        expect(int(match[4]) > last_tsc, f"the TSC ran backwards at round {match[1]}")
        rounds, last_tsc = rounds + 1, int(match[4])
    return rounds


def letters_of(text):
    """The letters of dirtier's line, without its reports (lines that begin with #)."""
    return "".join(line for line in text.replace("\r", "").split("\n") if not line.startswith("#"))


def check_letters(text):
    """a to z and again, none lost, repeated or out of order. Returns how many there are."""
    letters = letters_of(text)
    for i, letter in enumerate(letters):
        wanted = LETTERS[i % len(LETTERS)]
        if letter != wanted:
            raise Failure(f"letter {i}: {wanted!r} expected, {letter!r} came: ...{letters[max(0, i - 30):i + 10]!r}")
    return len(letters)


def check_dirtier(text):
    expect("MISMATCH" not in text and "FAIL" not in text and "# dirtier: BAD" not in text,
           "dirtier found a page that is not as it should be: " +
           "; ".join(line for line in text.split("\n") if re.search("MISMATCH|FAIL|BAD", line))[:500])
    return check_letters(text)


def check_status(line):
    match = STATUS.search(line)
    expect(match, f"no status of dirtier: {line!r}")
    expect(match[1] == "ok" and match[5] == "0" and match[7] == "0", f"dirtier says: {line}")
    return {"written": int(match[3]), "checked": int(match[4]), "full_sweeps": int(match[6])}


def check_state_ticks(text):
    """The fpu guest's lines: numbered without gap, and no complaint."""
    expected = None
    count = 0
    for line in whole_lines(text):
        expect("FAIL" not in line, f"the guest complains: {line}")
        match = STATE.match(line)
        if not match:
            continue
        number = int(match[1])
        expect(expected in (None, number), f"state {expected} expected, {number} came")
        expected, count = number + 1, count + 1
    return count
