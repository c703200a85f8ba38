"""`make test`: the table of all tests; a line each, and `N passed, N failed` at the end.

A test is a function of its fixture. Machines are booted for the first test that needs them, and used by all that name the
same fixture, one after the other; a test that leaves a machine in doubt about itself (an error of the lab, a
machine that ended) costs a new boot, not the tests behind it.

The tests are dealt to LANES processes, all of one fixture to the same, those that may take longest first. Each process has at most
one laboratory, and what else the host does makes them slower and nothing else."""
import multiprocessing
import os
import re
import signal
import sys
import time
import traceback
from collections import Counter
from dataclasses import dataclass
from typing import Callable, Optional

from tools.lab import children
from tools.lab.errors import Failure, LabError, Skipped

LANES = min(2, os.cpu_count() or 1)
FIXTURE_SECONDS = 60
BOOTS_MAX = 2          # failed boots of one fixture, after which its other tests fail at once


@dataclass(frozen=True)
class Test:
    name: str
    run: Callable
    seconds: int = 30
    fixture: Optional[type] = None      # a class with start(), usable(), stop(); None: the function takes no argument


class TimeOver(LabError):
    pass


# Times of tests are virtual, and each wait in them has its bound. This is the net below: host seconds for each of a test's.
HOST_SECONDS = 10


class limit:
    """No test hangs: after its time an exception comes out of whatever it waits for."""

    def __init__(self, seconds):
        self.seconds = HOST_SECONDS * seconds

    def __enter__(self):
        def over(_number, _frame):
            raise TimeOver(f"not done within {self.seconds} s")

        signal.signal(signal.SIGALRM, over)
        signal.setitimer(signal.ITIMER_REAL, self.seconds)

    def __exit__(self, *_):
        signal.setitimer(signal.ITIMER_REAL, 0)


class Fixture:
    """The machines of a group of tests: booted when the first one wants them, and anew when they are in doubt."""

    def __init__(self, kind):
        self._kind = kind
        self._live = None
        self._failed_boots = 0

    def get(self):
        if self._live and not self._live.usable():
            self.drop()
        if self._failed_boots >= BOOTS_MAX:
            raise LabError(f"{self._kind.__name__} did not boot {BOOTS_MAX} times, and is not tried again")
        if not self._live:
            self._live = self._kind()
            with limit(FIXTURE_SECONDS):
                try:
                    self._live.start()
                except Skipped:
                    self.drop()
                    raise
                except BaseException:
                    self._failed_boots += 1
                    self.drop()
                    raise
        return self._live

    def drop(self):
        if self._live:
            live, self._live = self._live, None
            live.stop()


def all_tests():
    from tests.check.table import TESTS as checks
    from tests.guest.table import TESTS as in_guest
    from tests.host_tests import host_tests
    from tests.pods.table import TESTS as two_pods
    return [*checks, *host_tests(), *in_guest, *two_pods]


def run_one(test, fixture):
    """None, or what was wrong."""
    try:
        if not test.fixture:
            with limit(test.seconds):
                test.run()
            return None
        machines = fixture.get()
        with limit(test.seconds):
            test.run(machines)
        return None
    except Failure as error:
        return str(error)
    except Skipped:
        raise
    except LabError as error:
        fixture.drop()
        return str(error)
    except Exception:           # a mistake in a test must not end the others
        fixture.drop()
        return traceback.format_exc()


def run_group(tests):
    """Tests of one fixture: how many were "ok", "FAIL" and "skip"."""
    counts, fixture = Counter(), Fixture(tests[0].fixture)
    for test in tests:
        started = time.monotonic()
        try:
            wrong = run_one(test, fixture)
            outcome = "FAIL" if wrong else "ok"
            text = f"{outcome} {test.name} ({time.monotonic() - started:.1f})\n"
            if wrong:
                text += "    " + wrong.strip().replace("\n", "\n    ") + "\n"
        except Skipped as why:
            outcome, text = "skip", f"skip {test.name}: {why}\n"
        counts[outcome] += 1
        sys.stdout.write(text)          # at once, so that the lines of two lanes do not mix
        sys.stdout.flush()
    fixture.drop()
    return counts


def by_fixture(tests):
    """Lists of tests that share a fixture, in the order in which the fixtures come first."""
    groups = {}
    for test in tests:
        groups.setdefault(test.fixture or test, []).append(test)
    return list(groups.values())


def lane(groups, tickets, results):
    """A process of its own: takes the next group of tests as long as there is one."""
    children.die_with_parent()
    counts = Counter()
    while (ticket := tickets.get()) is not None:
        counts += run_group(groups[ticket])
    results.put(counts)


def run_in_lanes(tests):
    """The same, by LANES processes. A lane that ends before its work does is a LabError."""
    groups = sorted(by_fixture(tests), key=lambda group: -sum(test.seconds for test in group))
    fork = multiprocessing.get_context("fork")
    tickets, results = fork.SimpleQueue(), fork.SimpleQueue()
    sys.stdout.flush()
    lanes = [fork.Process(target=lane, args=(groups, tickets, results), daemon=True) for _ in range(LANES)]
    for process in lanes:
        process.start()
    for ticket in [*range(len(groups)), *[None] * LANES]:
        tickets.put(ticket)
    for process in lanes:
        process.join()
        if process.exitcode:
            raise LabError(f"a process that ran tests ended with {process.exitcode}: not all of them have been run")
    return sum((results.get() for _ in lanes), Counter())


def run_tests(only, names_only):
    tests = [test for test in all_tests() if re.search(only, test.name)]
    if names_only:
        print("\n".join(test.name for test in tests))
        return 0
    counts = run_in_lanes(tests)
    if counts["skip"]:
        print(f"{counts['skip']} skipped, which says nothing about what they test")
    print(f"{counts['ok']} passed, {counts['FAIL']} failed")
    return 0 if tests and not counts["FAIL"] else 1
