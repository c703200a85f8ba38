"""How long the lab waits. Every bound, here and in the tests, is what a quiet host needs at the very most; each wait is given
PATIENCE times as long, because the host may be busy and the machines' clocks then fall behind its own. A wait ends when its
condition holds: only what never comes costs the whole bound."""
import time

from .errors import expect

PATIENCE = 4


def patient(seconds):
    return PATIENCE * seconds


def deadline(seconds):
    """The monotonic time at which a wait is over."""
    return time.monotonic() + patient(seconds)


def wait_until(condition, seconds, text, pause=0.1):
    """The first true value of condition(); Failure with `text`, or with what that function says, if none comes in time."""
    end = deadline(seconds)
    while not (found := condition()):
        expect(time.monotonic() < end, text() if callable(text) else text)
        time.sleep(pause)
    return found
