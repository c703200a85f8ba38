"""`make bench`: the figures of the project, each with its limit, measured in Bochs where one tick is one instruction and both pods
share one virtual clock: two runs of one commit have the same values, but for `lab.sync_overhead`, which is the host's time."""
import contextlib
import json
import re
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Callable

from tests.pods import lan, lan_linux
from tests.pods.lan_pods import LanPods
from tools.lab import children, direct, linux, oracle, places, waiting
from tools.lab.bochs import Alone
from tools.lab.errors import Failure, LabError, Skipped, expect
from tools.lab.pair import Pair, Traveller
from tools.lab.settings import Guest, Machine
from tools.lab.settings import Pod as PodConfig

# Exactly the machines of the published comparison with QEMU and KVM.
SETTINGS = Machine(model="corei7_icelake_u", cpus=1, memory_mib=512, ips=50_000_000, nic="e1000")
RUNS = 5
SETTLE_S = 1.5
EXIT_TURNS = 10_000


@dataclass(frozen=True)
class Figure:
    name: str
    unit: str
    limit: float
    measure: Callable           # (the machines of its group) -> (value, settings of its own)
    group: str = "plain"        # of GROUPS: which machines


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
        runs = [first_round(pair, options) for _ in range(3)]
        values = [count(round_) for round_ in runs]
        first = runs[0]
        return statistics.median(values), {
            "clock": "TSC of the source pod: all its work, less idling and the guest's time", "guest": f"dirtier {options}, paused",
            "runs": values, "busy_ticks": [round_["busy_ticks"] for round_ in runs], "pages": first["pages"], "zero_pages": first["zero_pages"], "bytes": first["bytes"]}

    return measure


def random_page(round_):
    return round(round_["busy_ticks"] / (round_["pages"] - round_["zero_pages"]))


def zero_page(round_):
    return round(round_["busy_ticks"] / round_["pages"])


EXITS = {"cpuid": 400, "msr": 500, "tsc_deadline": 600, "port": 600, "uart": 700, "lapic_read": 10, "ipi": 10,
         "ioapic_read": 3000, "virtio_kick": 1500}


def exits(pair):
    """All of them from one run of exit_bench, which is kept with the pair."""
    if not hasattr(pair, "exits"):
        start = pair.a.com2.log.position
        pair.a.control.must(f"start exit_bench console=com2 devices=net cmdline=n={EXIT_TURNS}")
        try:
            text = pair.a.com2.log
            text.wait_for(r"exit_bench: pass", 60, start, pair.a.alive)
            found = re.findall(r"^(\w+) instructions_per_exit (\d+)", text.text(start), re.M)
            pair.exits = {name: int(value) for name, value in found}
        finally:
            pair.a.control.call("stop exit_bench")
    return pair.exits


def exit_of(name):
    def measure(pair):
        found = exits(pair)
        expect(name in found, f"exit_bench has no figure for {name}: {found}")
        return found[name], {"clock": "TSC in the guest, a turn of the loop, its overhead included", "runs": EXIT_TURNS,
                             "loop": found.get("nothing"), "all": found}
    return measure


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
            flight = noted(pair, clock.move("audit=1"))
            runs.append({"ratio": round(flight["downtime_us"] / flight["floor_us"], 3), "downtime_us": flight["downtime_us"],
                         "floor_us": flight["floor_us"]})
        clock.run_for(0.5)
        oracle.check_clock(clock.text)
    finally:
        clock.stop()
    return statistics.median(run["ratio"] for run in runs), {
        "clock": "TSC of the source pod; the target's times by the measured offset", "guest": "clock memory=64M", "runs": runs}


def one_gap(dirtier, seconds=60):
    """From the last letter on the source to the first on the target, in ms of virtual time."""
    source, target = dirtier.pod, dirtier.pair.other(dirtier.pod)
    left, arrived = source.com2.log.position, target.com2.log.position
    flight = noted(dirtier.pair, dirtier.move("", seconds=seconds))
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
            gap, flight = one_gap(dirtier)
            oracle.check_dirtier(dirtier.text)
        finally:
            dirtier.stop()
        runs.append({"gap_ms": round(gap, 2), "downtime_us": flight["downtime_us"], "total_us": flight["total_us"],
                     "bytes": flight["bytes"], "rounds": len(flight["rounds"])})
    return round(statistics.median(run["gap_ms"] for run in runs), 2), {
        "clock": "virtual, at COM2 of both pods; 10 ms of the gap are the guest's tick",
        "guest": "dirtier: 32 MiB, 4 MiB random, 100 Hz, one page of 256 and one letter a tick", "runs": runs}


# ---- Linux ---------------------------------------------------------------------------------------------------------------


def boot_ratio(_group):
    """One pod and one bare machine, each alone; the guest has no devices beyond those that the bare machine has."""
    settings = Machine(memory_mib=512)
    guest = linux.guest("linux", memory="256M")
    bare = direct.boot_ticks(directory=places.BUILD / "bench/direct")
    with Alone(settings, PodConfig("pod-a", [guest]), places.BUILD / "bench/boot") as pod:
        pod.ready()
        pod.control.must("start linux")
        tick, start = linux.Shell(pod, "linux", 0).wait()
    return round((tick - start) / bare, 3), {
        "machine": settings.describe(), "clock": "TSC of the guest, from its start to its shell; TSC of the bare machine, from "
        "the kernel's first instruction to its shell. Idle time counts in both", "guest": tick - start, "bare": bare, "runs": 1}


class LinuxGuest:
    """A Linux that has reached its shell, as a traveller."""

    def __init__(self, pair, name):
        self.pair, self.traveller = pair, Traveller(pair, name)
        self.shell = linux.Shell(self.traveller.pod, name, self.traveller._from)
        self.shell.wait()

    def __enter__(self):
        return self.traveller

    def __exit__(self, *_):
        self.traveller.stop()


def linux_idle(pair):
    with LinuxGuest(pair, "idle") as guest:
        def move():
            flight = guest.move("", seconds=120)
            pair.state_bytes = flight["state_bytes"]
            return noted(pair, flight)

        runs = []
        for _ in range(RUNS):
            guest.run_for(SETTLE_S)
            flight = move()
            runs.append({"ratio": round(flight["downtime_us"] / flight["floor_us"], 3), "downtime_us": flight["downtime_us"],
                         "floor_us": flight["floor_us"], "total_us": flight["total_us"], "bytes": flight["bytes"],
                         "rounds": len(flight["rounds"]), "residual_pages": flight["floor"]["residual_pages"], "state_bytes": flight["state_bytes"]})
    return statistics.median(run["ratio"] for run in runs), {
        "clock": "TSC of the source pod; the target's times by the measured offset",
        "guest": "Linux, 256 MiB, 1 vCPU, net and entropy, idle at its shell", "runs": runs}


def state_bytes(pair):
    """Of the same guest, in its last move."""
    if not hasattr(pair, "state_bytes"):
        linux_idle(pair)
    return pair.state_bytes, {"guest": "Linux, 1 vCPU, net and entropy", "what": "all STATE records, those ahead of the pause and those after it"}


def peers_linux(pair):
    with LinuxGuest(pair, "peers") as guest:
        linux.type_text(guest.pod, "peers", "workload flat\n")
        runs = []
        for _ in range(RUNS):
            guest.run_for(SETTLE_S)
            gap, flight = one_gap(guest, 120)
            runs.append({"gap_ms": round(gap, 2), "downtime_us": flight["downtime_us"], "total_us": flight["total_us"],
                         "bytes": flight["bytes"], "rounds": len(flight["rounds"])})
    return round(statistics.median(run["gap_ms"] for run in runs), 2), {
        "clock": "virtual, at COM2 of both pods; 10 ms of the gap are the guest's tick",
        "guest": "Linux, 128 MiB, a process that writes one page of 256 and sends one letter each 10 ms", "runs": runs}


class LanOnLan(LanPods):
    directory = places.BUILD / "bench/lan"
    links = {"net": "lan", "lan": "lan"}


class LinuxOnLan(lan_linux.LinuxPods):
    directory = places.BUILD / "bench/lan-linux"
    links = {"net": "lan", "lan": "lan"}


def witnesses(_group):
    """A guest that does nothing but watch, and a Linux with connections open: ten moves each."""
    with machines(LanOnLan) as pods:
        echo = lan.testimonies(pods)
    with machines(LinuxOnLan) as pods:
        busy = lan_linux.testimonies(pods)
    return round(lan.worst_of(echo + busy).disagreement_us, 3), {
        "machine": LanPods.settings.describe(), "clock": "virtual: the pods' TSCs, the guest's TSC, the cable",
        "what": "the worst of ten moves of net_echo and ten of Linux with ping, a session and a download",
        "runs": [testimony.line() for testimony in echo + busy]}


# ---- the laboratory ------------------------------------------------------------------------------------------------------


def noted(pair, flight):
    """The flight record, whose clocks are remembered with the pair."""
    pair.clocks = [*getattr(pair, "clocks", []), flight["clock"]]
    return flight


def clock_steps(pair):
    floor_ratio(pair) if not hasattr(pair, "clocks") else None
    return max(clock["steps"] for clock in pair.clocks), {"what": "the most in any teleport of these machines", "runs": len(pair.clocks)}


def offset_error(pair):
    """Both pods were powered on in one instant, so the true offset of their TSCs is 0."""
    floor_ratio(pair) if not hasattr(pair, "clocks") else None
    return max(abs(clock["offset_us"]) for clock in pair.clocks), {
        "what": "measured offset less the true one, the worst of all teleports of these machines; the limit is half of the shortest round trip",
        "limit_of_the_worst": min(clock["round_trip_us"] for clock in pair.clocks) // 2, "runs": [clock["offset_us"] for clock in pair.clocks]}


AGAIN_RUNS = 5
AGAIN_FAULTS = "drop at=record:PAGE from=pod-a to=pod-b frames=2; cut at=record:PREPARE from=pod-a to=pod-b both for=0.2"


def child(words, seconds):
    process = children.spawn([sys.executable, "-m", "tools.lab", *words], cwd=places.ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        said, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        raise LabError(f"{words[0]} is not at its end after {seconds} s of the host's") from None
    finally:
        children.stop(process)
    return said


def again(_group):
    """One script, had again five times, every other time beside a host that is busy."""
    into = places.BUILD / "bench/script"
    said = child(["run", "--guest", "clock", "--moves", "10", "--faults", AGAIN_FAULTS, "--into", into], 900)
    expect((into / "run.json").exists(), f"the script left no record: {said[-500:]}")
    equal, answers = 0, []
    for number in range(AGAIN_RUNS):
        hogs = [children.spawn([sys.executable, "-c", "while True: pass"]) for _ in range(4 if number % 2 else 0)]
        try:
            answers.append(child(["again", into / "run.json"], 1800).strip())
        finally:
            for hog in hogs:
                children.stop(hog)
        equal += answers[-1] == "equal"
    return AGAIN_RUNS - equal, {"what": "runs of 5 that were not equal to the byte, every other one beside four busy loops", "answers": answers,
                                "script": f"boot, start clock, ten moves; {AGAIN_FAULTS}",
                                "struck": json.loads((into / "run.json").read_text())["struck"]}


BUSY_SECONDS = 20


def host_seconds(pods):
    """Of the host, for some seconds of virtual time in which each of these pods has a guest that computes."""
    for pod in pods:
        pod.control.must("start spin_cli")
    began = time.monotonic()
    waiting.sleep(BUSY_SECONDS)
    return time.monotonic() - began


def sync_overhead(_group):
    guests = [Guest("spin_cli")]
    with Pair(SETTINGS, guests, places.BUILD / "bench/sync") as pair:
        both = host_seconds(pair.ready().pods)
    alone = []
    for name in ("pod-a", "pod-b"):
        with Alone(SETTINGS, PodConfig(name, guests), places.BUILD / "bench/sync-alone") as pod:
            alone.append(host_seconds([pod.ready()]))
    return round(both / max(alone), 3), {"clock": "the host's", "pair_s": round(both, 2), "alone_s": [round(one, 2) for one in alone],
                                         "virtual_s": BUSY_SECONDS}


# ---- the table -----------------------------------------------------------------------------------------------------------


def plain_pair():
    guests = [Guest(name) for name in ("dirtier", "clock", "exit_bench", "hello")]
    return Pair(SETTINGS, guests, places.BUILD / "bench/pair")


def linux_pair():
    linux.built()
    guests = [linux.guest("idle", memory="256M", cmdline="quiet address=10.0.2.61/24", devices="net, entropy"), linux.guest("peers", memory="128M")]
    return Pair(SETTINGS, guests, places.BUILD / "bench/linux")


@contextlib.contextmanager
def alone():
    """The measurement brings its own machines."""
    yield None


@contextlib.contextmanager
def machines(make_them):
    """Boots a group's machines, and ends them."""
    made = make_them()
    made.start()
    try:
        yield made.ready() or made
    finally:
        made.stop()


FIGURES = [
    Figure("precopy.source.instructions_per_page", "instructions", 12_000,
           per_page("memory=32M cmdline=\"content=31\"", random_page)),
    Figure("precopy.source.instructions_per_zero_page", "instructions", 1_500,
           per_page("memory=128M cmdline=\"content=0\"", zero_page)),
    *[Figure(f"exit.{name}.instructions", "instructions", limit, exit_of(name)) for name, limit in EXITS.items()],
    Figure("harvest.256MiB.100dirty.instructions", "instructions", 400_000, harvest),
    Figure("downtime.clock.64MiB.floor_ratio", "", 3, floor_ratio),
    Figure("teleport.peers_flat.gap_ms", "ms", 40, peers_gap),
    Figure("image.bytes", "bytes", 1_048_576, image_bytes),
    Figure("boot.instructions", "instructions", 100_000_000, boot_instructions),
    Figure("linux.boot.instructions_ratio", "", 1.5, boot_ratio, "alone"),
    Figure("downtime.linux_idle.256MiB.floor_ratio", "", 2, linux_idle, "linux"),
    Figure("state.linux.1vcpu.bytes", "bytes", 32_768, state_bytes, "linux"),
    Figure("teleport.peers_linux.gap_ms", "ms", 150, peers_linux, "linux"),
    Figure("clock.steps", "", 0, clock_steps),
    Figure("clock.offset_error_us", "us", 0, offset_error),
    Figure("witness.disagreement_us", "us", 200, witnesses, "alone"),
    Figure("lab.again", "runs that differ", 0, again, "alone"),
    Figure("lab.sync_overhead", "", 1.5, sync_overhead, "alone"),
]
GROUPS = {"plain": lambda: machines(plain_pair), "alone": alone, "linux": lambda: machines(linux_pair)}


def limit_of(figure, entry):
    """Some limits depend on what was measured."""
    return max(figure.limit, entry["settings"].get("limit_of_the_worst", 0))


def measure(figure, made):
    entry = {"name": figure.name, "value": None, "unit": figure.unit, "limit": figure.limit,
             "settings": {"machine": SETTINGS.describe(), "ips": SETTINGS.ips}}
    try:
        value, own = figure.measure(made)
        entry["value"] = value
        entry["settings"].update(own)
        entry["limit"] = limit_of(figure, entry)
    except (Failure, LabError, Skipped) as error:
        entry["error"] = str(error)
    return entry


def is_good(entry):
    return entry["value"] is not None and entry["value"] <= entry["limit"]


def show(entry):
    print(f"{'ok  ' if is_good(entry) else 'OVER'} {entry['name']:<44} {entry['value']!s:>12} {entry['unit']:<12} limit "
          f"{entry['limit']}" + (f"   {entry['error']}" if "error" in entry else ""), flush=True)


def bench_group(group, figures):
    """The figures of one set of machines; if these do not come up, each says so."""
    try:
        with GROUPS[group]() as made:
            for figure in figures:
                show(entry := measure(figure, made))
                yield entry
                figures = figures[1:]
    except (Failure, LabError, Skipped) as error:
        for figure in figures:
            show(entry := {"name": figure.name, "value": None, "unit": figure.unit, "limit": figure.limit, "settings": {},
                           "error": str(error)})
            yield entry


def bench(only):
    shutil.rmtree(places.BUILD / "bench", ignore_errors=True)
    started = time.monotonic()
    entries = []
    for group in GROUPS:
        figures = [figure for figure in FIGURES if figure.group == group and re.search(only, figure.name)]
        if figures:
            entries += bench_group(group, figures)
    (places.BUILD / "bench.json").write_text(json.dumps(entries, indent=1) + "\n")
    over = [entry["name"] for entry in entries if not is_good(entry)]
    print(f"build/bench.json: {len(entries) - len(over)} within their limits, {len(over)} not; "
          f"{time.monotonic() - started:.0f} s")
    return 1 if over else 0
