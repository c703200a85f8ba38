"""What `make run` does: its exit status, and the lines that the story is told for."""
import subprocess
import sys

from tools.lab import children, places
from tools.lab.errors import Failure


TOLD = ["runs on pod-b; watching it", "none lost, repeated or out of order; the TSC never ran backwards", "frames audited, none differs",
        "is the flight record"]


class OneStory:
    """No machine of the suite's: it boots its own. One story at a time, for they are told in the same folder."""

    def start(self):
        pass

    def usable(self):
        return True

    def stop(self):
        pass


def told(guest, words, seconds):
    """The story of that guest, with all of these words in it."""
    def test(_fixture: OneStory):
        lab = children.spawn([sys.executable, "-m", "tools.lab", "run", "--guest", guest], cwd=places.ROOT, text=True,
                             errors="replace", stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            said, _ = lab.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise Failure(f"not at its end after {seconds} s") from None
        finally:
            children.stop(lab)
        missing = [line for line in [*TOLD, *words] if line not in said]
        if lab.returncode or missing:
            raise Failure(f"exit status {lab.returncode}, not told: {missing}\n{said[-2000:]}")

    return test
