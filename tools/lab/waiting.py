"""Waiting, by the clock that rules. In a laboratory time is virtual, and it passes only while somebody waits here: between two
waits every machine stands still. Without one (QEMU, programs of the host's) it is the host's time.

A bound is what the slowest of what is waited for needs; a wait ends when its condition holds, and only what never comes costs
the whole bound."""
import time

from .errors import expect

PAUSE = 0.002               # seconds between two looks


class HostClock:
    @staticmethod
    def now():
        return time.monotonic()

    @staticmethod
    def sleep(seconds):
        time.sleep(seconds)


_clock = HostClock()


def rule(clock):
    """From now on this clock rules; None: the host's."""
    global _clock
    _clock = clock or HostClock()


def now():
    """Seconds."""
    return _clock.now()


def sleep(seconds):
    _clock.sleep(seconds)


def deadline(seconds):
    """The time at which a wait is over."""
    return _clock.now() + seconds


def wait_until(condition, seconds, text, pause=PAUSE):
    """The first true value of condition(); Failure with `text`, or with what that function says, if none comes in time."""
    end = deadline(seconds)
    while not (found := condition()):
        expect(now() < end, text() if callable(text) else text)
        sleep(pause)
    return found
