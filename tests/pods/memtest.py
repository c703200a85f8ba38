"""memtest86+ as Debian ships it, in the middle of its tests while it moves to and fro: it sees every byte of its memory, and
finds no error."""
import re

from tests.pods.two_pods import TwoPods
from tools.lab.errors import expect
from tools.lab.waiting import wait_until


MOVES = 4
MOVE = "audit=1 rounds=4"    # it writes all the time: more rounds would bring nothing
BETWEEN_S = 1.5
SCREEN_SECONDS = 60         # for its first screen, and for one after each move
TEST = re.compile(r"#(\d+) +\[")
TIME = re.compile(r"Time: +(\d+):(\d\d):(\d\d)")


def to_and_fro(pods: TwoPods):
    guest = pods.traveller("memtest")
    for move in range(MOVES + 1):
        # It draws its screen again and again: the time that it has worked, the test, and the errors so far.
        guest.pod.com2.log.wait_for(r"Status: Testing", SCREEN_SECONDS, guest.arrived, guest.pod.alive)
        guest.run_for(BETWEEN_S)
        if move < MOVES:
            guest.move(MOVE)
    wait_until(lambda: len(set(TEST.findall(guest.text))) > 1, SCREEN_SECONDS, lambda: f"it stays in test {TEST.findall(guest.text)[:1]}")
    text = guest.text
    guest.stop()
    expect("Memory  :   16MB" in text, "memtest86+ does not find its 16 MB")
    expect(re.search(r"Errors: 0 ", text), "memtest86+ does not say how many errors there are")
    expect(not re.search(r"Errors: [1-9]", text), "memtest86+ found an error in a memory that moved")
    times = [int(h) * 3600 + int(m) * 60 + int(s) for h, m, s in TIME.findall(text)]
    expect(times and times == sorted(times) and times[-1] > times[0], f"its clock: {times[:3]} ... {times[-3:]}")
