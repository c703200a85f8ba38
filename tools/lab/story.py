"""What the lab prints: lines of two pods side by side in the order of their arrival, and the table at the end."""
import subprocess
import sys

from . import places, waiting


class Story:
    """Prints whole lines, each with its time: seconds since the power-on of the first machine, or of the host's since the start."""

    def __init__(self, out=sys.stdout):
        self._out = out
        self._start = None

    def tell(self, who, text):
        if self._start is None:
            self._start = waiting.now()
        print(f"{waiting.now() - self._start:9.4f}  {who:<14} {text}", file=self._out, flush=True)

    def follow(self, who, log, wanted=lambda line: True, at=0):
        """Tells a machine's lines as they come."""
        log.follow(lambda line: line.strip() and wanted(line) and self.tell(who, line), at)


def round_line(event):
    r = event["round"]
    rate = r["bytes_per_s"] / 1e6
    return (f"round {r['round']:>2}: {r['pages']:>6} pages ({r['zero_pages']} zero), {r['bytes'] / 1000:>8.1f} KB in "
            f"{r['duration_us'] / 1000:>8.1f} ms = {rate:.2f} MB/s; {r['dirty_after']} dirtied meanwhile")


def flight_table(flight, path):
    """The operator's client knows how to show a flight record."""
    if places.TELEPOD.exists():
        shown = subprocess.run([places.TELEPOD, "report", path], capture_output=True, text=True, timeout=10)
        if shown.returncode == 0:
            return shown.stdout
    return own_table(flight)


def own_table(flight):
    ms = 1000
    rows = [("rounds", len(flight["rounds"])), ("pages sent", f"{flight['pages']} ({flight['zero_pages']} zero)"),
            ("bytes sent", flight["bytes"]), ("total", f"{flight['total_us'] / ms:.1f} ms"),
            ("downtime", f"{flight['downtime_us'] / ms:.1f} ms"), ("floor", f"{flight['floor_us'] / ms:.1f} ms")]
    rows += [(f"  {phase['name']} ({phase['pod']})", f"{(phase['end_us'] - phase['start_us']) / ms:.1f} ms")
             for phase in flight["phases"] if phase["in_downtime"]]
    return "\n".join(f"{name:<28} {value}" for name, value in rows) + "\n"
