"""For how long the emulators waited for a processor of the host, by the host's scheduler: virtual time stood still meanwhile,
and the host's went on. Linux counts it for each process (/proc/PID/schedstat, proc(5)); where it does not, nothing is known."""
import bisect
import threading
import time
from pathlib import Path

SAMPLE_SECONDS = 0.005


def waited_ns(process_id):
    """Runnable, but not running, since it began; 0 where the kernel does not count it."""
    try:
        return int(Path(f"/proc/{process_id}/schedstat").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0


class Watch:
    """Looks at them every few milliseconds, as long as the `with` lasts."""

    def __init__(self, pods):
        self._processes = [pod.process_id for pod in pods]
        self._times, self._sums = [], []
        self._running = True
        self._thread = threading.Thread(target=self._look, daemon=True)

    def _look(self):
        while self._running:
            total = sum(waited_ns(process_id) for process_id in self._processes)
            self._times.append(time.time_ns())
            self._sums.append(total)
            time.sleep(SAMPLE_SECONDS)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._running = False
        self._thread.join()

    def us_between(self, begin, end):
        """Microseconds that both together waited from `begin` to `end`, nanoseconds of the host's clock; a little more."""
        first = max(0, bisect.bisect_right(self._times, begin) - 1)
        last = min(len(self._times) - 1, bisect.bisect_left(self._times, end))
        return (self._sums[last] - self._sums[first]) / 1000
