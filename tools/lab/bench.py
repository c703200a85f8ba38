"""`make bench`: the figures of the project, each with its limit, measured in Bochs where one tick is one instruction. A run
in which virtual and host time went apart is not a measurement: it is taken again, and in the end refused."""
import json
import re
import shutil
import statistics
import time
from dataclasses import dataclass
from typing import Callable

from . import oracle, places
from .errors import Failure, LabError, expect
from .pair import Pair, Traveller
from .settings import CLOCK_STEP_US, Guest, Machine

# Exactly the machines of the published comparison with QEMU and KVM.
SETTINGS = Machine(model="corei7_icelake_u", cpus=1, memory_mib=512, ips=50_000_000, sync="slowdown", nic="e1000")
RATIO = (0.97, 1.03)
TRIES = 4
RUNS = 5
SETTLE_S = 1.5
CPUID_TURNS = 10_000


class Rejected(Exception):
    """The host did not keep up."""


@dataclass(frozen=True)
class Figure:
    name: str
    unit: str
    limit: float
    measure: Callable           # (pair) -> (value, settings of its own)
    timed: bool = True          # needs a host that keeps up


def measured(pair, action):
    """The action's result, and virtual over host time of both pods meanwhile."""
    clocks = [pod.clock() for pod in pair.pods]
    result = action()
    ratios = [round(pod.clock_ratio(clock), 4) for pod, clock in zip(pair.pods, clocks)]
    if not all(RATIO[0] <= ratio <= RATIO[1] for ratio in ratios):
        raise Rejected(f"virtual/host time was {ratios}")
    return result, ratios


def steady(flight):
    """The flight record, if its times can be trusted: neither machine was held up while it was written."""
    if flight["clock"]["step_us"] > CLOCK_STEP_US or "downtime_us" not in flight:
        raise Rejected(f"a pod was held up during the teleport: its clock stepped by {flight['clock']['step_us']} us")
    return flight


def patient(pair, action):
    for attempt in range(TRIES):
        try:
            return measured(pair, action)
        except Rejected as error:
            reason = error
    raise LabError(f"the host is too slow or too busy for a measurement, {TRIES} times: {reason}")


# ---- instructions -----------------------------------------------------------------------------------------------------


def first_round(pair, options):
    """The first round of the teleport of a paused guest: nothing runs but the teleport itself."""
    traveller = Traveller(pair, "dirtier", options)
    try:
        traveller.run_for(SETTLE_S)
        traveller.pod.control.must("pause dirtier")
        return traveller.move("")["rounds"][0]
    finally:
        traveller.stop()


def per_page(options, count):
    def measure(pair):
        runs = [patient(pair, lambda: first_round(pair, options)) for _ in range(3)]
        values = [count(round_) for round_, _ in runs]
        first = runs[0][0]
        return statistics.median(values), {
            "clock": "TSC of the source pod: all its work, less idling and the guest's time", "guest": f"dirtier {options}, paused",
            "runs": values, "busy_ticks": [round_["busy_ticks"] for round_, _ in runs], "pages": first["pages"], "zero_pages": first["zero_pages"], "bytes": first["bytes"],
            "virtual_per_host_time": [ratio for _, ratio in runs]}

    return measure


def random_page(round_):
    return round(round_["busy_ticks"] / (round_["pages"] - round_["zero_pages"]))


def zero_page(round_):
    return round(round_["busy_ticks"] / round_["pages"])


def cpuid_exit(pair):
    start = pair.a.com2.log.position
    pair.a.control.must(f"start cpuid_bench console=com2 cmdline=n={CPUID_TURNS}")
    try:
        text = pair.a.com2.log
        text.wait_for(r"cpuid_bench: pass", 60, start, pair.a.alive)
        found = dict(re.findall(r"^(\w+) instructions_per_exit (\d+)", text.text(start), re.M))
    finally:
        pair.a.control.call("stop cpuid_bench")
    return int(found["cpuid"]), {"clock": "TSC in the guest, a turn of the loop, its overhead included",
                                 "runs": CPUID_TURNS, "others": {name: int(value) for name, value in found.items()}}


def harvest(pair):
    reply = pair.a.control.must("selftest harvest", 60)
    expect("value" in reply, f"selftest harvest gave no value: {reply}")
    return reply["value"], {"clock": "TSC of the pod", "memory": "256 MiB, 100 dirty pages", "runs": 1}


def image_bytes(_pair):
    loader, kernel = places.LOADER.stat().st_size, places.KERNEL.stat().st_size
    return loader + kernel, {"loader": loader, "kernel": kernel}


def boot_instructions(pair):
    return max(pod.boot_ticks for pod in pair.pods), {"clock": "TSC, from the loader's entry to ready for guests",
                                                      "runs": [pod.boot_ticks for pod in pair.pods]}


# ---- time ----------------------------------------------------------------------------------------------------------------


def floor_ratio(pair):
    clock = Traveller(pair, "clock", "memory=64M")
    runs = []
    try:
        for _ in range(RUNS):
            clock.run_for(1)
            flight, ratios = patient(pair, lambda: steady(clock.move("audit=1")))
            runs.append({"ratio": round(flight["downtime_us"] / flight["floor_us"], 3), "downtime_us": flight["downtime_us"],
                         "floor_us": flight["floor_us"], "virtual_per_host_time": ratios})
        clock.run_for(0.5)
        oracle.check_clock(clock.text)
    finally:
        clock.stop()
    return statistics.median(run["ratio"] for run in runs), {
        "clock": "TSC of the source pod; the target's times by the measured offset", "guest": "clock memory=64M", "runs": runs}


def one_gap(dirtier):
    """From the last letter on the source to the first on the target, by the host's clock, in ms."""
    source, target = dirtier.pod, dirtier.pair.other(dirtier.pod)
    left, arrived = source.com2.log.position, target.com2.log.position
    flight = steady(dirtier.move(""))
    dirtier.run_for(1)
    last = letters(source, left)[-1]
    first = letters(target, arrived)[0]
    expect(first[1] == ord("a") + (last[1] - ord("a") + 1) % 26, f"letters {last} and {first} do not follow each other")
    return (first[0] - last[0]) * 1000, flight


def letters(pod, position):
    found = [(when, byte) for when, byte in pod.com2.log.timed_bytes(position) if ord("a") <= byte <= ord("z")]
    expect(found, f"{pod.name}: no letter was seen")
    return found


def peers_gap(pair):
    runs = []
    for _ in range(RUNS):
        dirtier = Traveller(pair, "dirtier", "memory=32M")      # its defaults are the pattern of the comparison
        try:
            dirtier.run_for(SETTLE_S)
            (gap, flight), ratios = patient(pair, lambda: one_gap(dirtier))
            oracle.check_dirtier(dirtier.text)
        finally:
            dirtier.stop()
        runs.append({"gap_ms": round(gap, 2), "downtime_us": flight["downtime_us"], "total_us": flight["total_us"],
                     "bytes": flight["bytes"], "rounds": len(flight["rounds"]), "virtual_per_host_time": ratios})
    return round(statistics.median(run["gap_ms"] for run in runs), 2), {
        "clock": "the host's, at COM2 of both pods; 10 ms of the gap are the guest's tick",
        "guest": "dirtier: 32 MiB, 4 MiB random, 100 Hz, one page of 256 and one letter a tick", "runs": runs}


FIGURES = [
    Figure("precopy.source.instructions_per_page", "instructions", 12_000,
           per_page("memory=32M cmdline=\"content=31\"", random_page)),
    Figure("precopy.source.instructions_per_zero_page", "instructions", 1_500,
           per_page("memory=128M cmdline=\"content=0\"", zero_page)),
    Figure("exit.cpuid.instructions", "instructions", 400, cpuid_exit),
    Figure("harvest.256MiB.100dirty.instructions", "instructions", 400_000, harvest),
    Figure("downtime.clock.64MiB.floor_ratio", "", 3, floor_ratio),
    Figure("teleport.peers_flat.gap_ms", "ms", 40, peers_gap),
    Figure("image.bytes", "bytes", 1_048_576, image_bytes),
    Figure("boot.instructions", "instructions", 100_000_000, boot_instructions),
]


def measure(figure, pair):
    entry = {"name": figure.name, "value": None, "unit": figure.unit, "limit": figure.limit,
             "settings": {"machine": SETTINGS.describe(), "ips": SETTINGS.ips}}
    try:
        value, own = figure.measure(pair)
        entry["value"] = value
        entry["settings"].update(own)
    except (Failure, LabError) as error:
        entry["error"] = str(error)
    return entry


def bench(only):
    directory = places.BUILD / "bench"
    shutil.rmtree(directory, ignore_errors=True)
    guests = [Guest(name) for name in ("dirtier", "clock", "cpuid_bench", "hello")]
    started = time.monotonic()
    entries = []
    with Pair(SETTINGS, guests, directory) as pair:
        pair.ready()
        for figure in FIGURES:
            if re.search(only, figure.name):
                entries.append(entry := measure(figure, pair))
                good = entry["value"] is not None and entry["value"] <= entry["limit"]
                print(f"{'ok  ' if good else 'OVER'} {figure.name:<44} {entry['value']!s:>12} {figure.unit:<12} limit "
                      f"{figure.limit}" + (f"   {entry['error']}" if "error" in entry else ""), flush=True)
    (places.BUILD / "bench.json").write_text(json.dumps(entries, indent=1) + "\n")
    over = [entry["name"] for entry in entries if entry["value"] is None or entry["value"] > entry["limit"]]
    print(f"build/bench.json: {len(entries) - len(over)} within their limits, {len(over)} not; "
          f"{time.monotonic() - started:.0f} s")
    return 1 if over else 0
