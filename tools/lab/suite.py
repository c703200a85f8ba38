"""`make test`: the table of all tests, run one after the other; a line each, and `N passed, N failed` at the end.

A test is a function of its fixture. Machines are booted for the first test that needs them, and used by all that name the
same fixture; a test that leaves a machine in doubt about itself (an error of the lab, a machine that ended) costs a new
boot, not the tests behind it."""
import re
import signal
import sys
import time
import traceback
from collections import Counter
from dataclasses import dataclass
from typing import Callable, Optional

from . import places
from .errors import Failure, LabError, Skipped

FIXTURE_SECONDS = 150
BOOTS_MAX = 2          # failed boots of one fixture, after which its other tests fail at once


@dataclass(frozen=True)
class Test:
    name: str
    run: Callable
    seconds: int = 30
    fixture: Optional[type] = None      # a class with start(), usable(), stop(); None: the function takes no argument


class TimeOver(LabError):
    pass


class limit:
    """No test hangs: after its time an exception comes out of whatever it waits for."""

    def __init__(self, seconds):
        self.seconds = seconds

    def __enter__(self):
        def over(_number, _frame):
            raise TimeOver(f"not done within {self.seconds} s")

        signal.signal(signal.SIGALRM, over)
        signal.setitimer(signal.ITIMER_REAL, self.seconds)

    def __exit__(self, *_):
        signal.setitimer(signal.ITIMER_REAL, 0)


class Fixtures:
    """At most one fixture lives at a time: there are few cores."""

    def __init__(self):
        self._kind = None
        self._live = None
        self._failed_boots = Counter()

    def get(self, kind):
        if self._live and (self._kind is not kind or not self._live.usable()):
            self.drop()
        if self._failed_boots[kind] >= BOOTS_MAX:
            raise LabError(f"{kind.__name__} did not boot {BOOTS_MAX} times, and is not tried again")
        if not self._live:
            fixture = kind()
            self._kind, self._live = kind, fixture
            with limit(FIXTURE_SECONDS):
                try:
                    fixture.start()
                except Skipped:
                    self.drop()
                    raise
                except BaseException:
                    self._failed_boots[kind] += 1
                    self.drop()
                    raise
        return self._live

    def drop(self):
        if self._live:
            live, self._live = self._live, None
            live.stop()


def all_tests():
    sys.path.insert(0, str(places.ROOT))
    from tests.check.table import TESTS as checks
    from tests.guest.table import TESTS as in_guest
    from tests.pods.table import TESTS as two_pods
    from .host_tests import host_tests
    return [*checks, *host_tests(), *in_guest, *two_pods]


def run_one(test, fixtures):
    """None, or what was wrong."""
    try:
        if not test.fixture:
            with limit(test.seconds):
                test.run()
            return None
        fixture = fixtures.get(test.fixture)
        with limit(test.seconds):
            test.run(fixture)
        return None
    except Failure as error:
        return str(error)
    except Skipped:
        raise
    except LabError as error:
        fixtures.drop()
        return str(error)
    except Exception:           # a mistake in a test must not end the others
        fixtures.drop()
        return traceback.format_exc()


def run_tests(only, names_only):
    tests = [test for test in all_tests() if re.search(only, test.name)]
    if names_only:
        print("\n".join(test.name for test in tests))
        return 0
    fixtures = Fixtures()
    failed = skipped = 0
    for test in tests:
        started = time.monotonic()
        try:
            wrong = run_one(test, fixtures)
        except Skipped as why:
            print(f"skip {test.name}: {why}", flush=True)
            skipped += 1
            continue
        failed += wrong is not None
        print(f"{'FAIL' if wrong else 'ok'} {test.name} ({time.monotonic() - started:.1f})", flush=True)
        if wrong:
            print("    " + wrong.strip().replace("\n", "\n    "), flush=True)
    fixtures.drop()
    if skipped:
        print(f"{skipped} skipped, which says nothing about what they test")
    print(f"{len(tests) - failed - skipped} passed, {failed} failed")
    return 1 if failed or not tests else 0
