"""`make run`: a guest moves from one pod to another while it runs, and the story of it."""
import json
import os
import sys
import time
from pathlib import Path

from . import linux, oracle, places, wire
from .emulators import settings_of_platform
from .errors import Failure, LabError, expect, expect_equal
from .faults import parse_all
from .pair import CHECKS, Pair, Traveller
from .settings import Guest, Machine
from .story import Story, flight_table, round_line

SETTINGS = Machine(ips=50_000_000)
BEFORE_S, AFTER_S = 2, 3
SNAP_ALL = 1518
BETWEEN_S = 0.3
LEAST_TICKS = {"linux": 2}   # on each pod; others: 10
TOLD_EVERY = 10           # ticks of the clock, outside of the teleport
# Linux counts, checks itself all the time, and says once a second how it is.
GUESTS = {"clock": Guest("clock", console="com2"), "dirtier": Guest("dirtier", console="com2"),
          "linux": linux.guest(cmdline="quiet work=count work_options=pages=1024,rate=8,check=16")}
MOVE_SECONDS = {"linux": 120}
COMMAND = "uname -sr; cat /proc/uptime"


def write_logs(pair, directory):
    for pod in pair.pods:
        if hasattr(pod, "log"):
            text = pod.log.text() + f"\n---- COM2 of {pod.name}: its guests ----\n" + pod.com2.log.text() + "\n"
            (directory / f"{pod.name}.log").write_text(text)


def count_here(guest, text):
    if guest == "linux":
        return len(linux.reports(text))
    return len(oracle.letters_of(text)) if guest == "dirtier" else text.count("\ntick ")


def settle(story, guest, traveller):
    """Until there is something to see: at once, or when Linux has booted and its workload reports."""
    if guest != "linux":
        traveller.run_for(BEFORE_S)
        return
    ticks, _ = linux.Shell(traveller.pod, guest, traveller.arrived).wait()
    story.tell("lab", f"its shell was reached at tick {ticks} of its own TSC")
    traveller.pod.com2.log.wait_for(r"workload: 2 .*\n", 60, traveller.arrived, traveller.pod.alive)


def visit(story, guest, traveller):
    """What shows that it lives on pod-b."""
    if guest != "linux":
        traveller.run_for(AFTER_S)
    if guest == "dirtier":
        story.tell("lab", "in the guest: " + traveller.verify_memory())
        oracle.check_status(traveller.ask("?", r"# dirtier: \w+ rounds=.*\n"))
    if guest == "linux":
        traveller.pod.com2.log.wait_for(r"workload: (.*\n)+?.*workload: .*\n", 60, traveller.arrived, traveller.pod.alive)
        answer = linux.Shell(traveller.pod, guest).run(COMMAND)
        story.tell("lab", f"its shell on pod-b answers {COMMAND!r}: " + " / ".join(answer.strip().split("\n")))
        largest = max(report["largest"] for report in linux.reports(traveller.text))
        story.tell("lab", f"the guest's own witness of the downtime: its workload was away for {largest / 1000:.1f} ms by its TSC")


class Watch:
    """Which of a guest's lines are told: all while it moves, some ticks before and after."""

    def __init__(self, story, pair):
        self.moving = False
        for pod in pair.pods:
            story.follow(f"{pod.name} guest", pod.com2.log, self.wants, pod.com2.log.position)

    def wants(self, line):
        if linux.is_frame(line):
            return False
        tick = oracle.TICK.match(line)
        return self.moving or not tick or int(tick[1]) % TOLD_EVERY == 0


def to_and_fro(story, pair, guest, traveller, moves):
    """That many moves; one that fails, because a fault was ordered, leaves the guest where it is. The last flight record."""
    for number in range(1, moves + 1):
        source = traveller.pod.name
        try:
            flight = traveller.move(seconds=MOVE_SECONDS.get(guest, 60))
            story.tell("lab", f"move {number} from {source}: downtime {flight['downtime_us'] / 1000:.3f} ms")
        except (Failure, LabError) as error:
            expect(any(pair.laboratory.struck()), f"move {number} failed without a fault: {error}")
            story.tell("lab", f"move {number} from {source} failed: {error}")
        traveller.run_for(BETWEEN_S)
    CHECKS[guest](traveller.text)
    return flight


def travel(story, pair, guest, moves):
    """The move, and all that must be true of it. Returns the flight record."""
    pair.ready()
    story.tell("lab", f"both pods answer; starting {guest} on pod-a")
    watch = Watch(story, pair)
    traveller = Traveller(pair, guest)
    settle(story, guest, traveller)
    story.tell("lab", f"{guest} runs; teleporting it to pod-b at {pair.b.peer_address}, with an audit of every frame")
    watch.moving = True
    pair.flights = traveller.flights
    if moves > 1:
        return to_and_fro(story, pair, guest, traveller, moves)
    flight = traveller.move(seconds=MOVE_SECONDS.get(guest, 60), on_event=lambda event: "round" in event and story.tell("teleport", round_line(event)))
    before = count_here(guest, traveller._past[-1])
    watch.moving = False
    story.tell("lab", f"{guest} runs on pod-b; watching it")
    visit(story, guest, traveller)
    after = count_here(guest, traveller.here)
    total = CHECKS[guest](traveller.text)
    expect(min(before, after) >= LEAST_TICKS.get(guest, 10),
           f"too little happened on each pod: {before} ticks on pod-a, {after} on pod-b")
    guests = {pod.name: [g["name"] for g in pod.control.must("list")["guests"]] for pod in pair.pods}
    expect_equal(guests, {"pod-a": [], "pod-b": [guest]}, "guests of the two pods")
    story.tell("lab", f"right: {total} {'reports' if guest == 'linux' else 'ticks'}, {before} on pod-a and {after} on pod-b, none lost, repeated or out of order; "
               f"the TSC never ran backwards; {flight['audit']['frames']} frames audited, none differs")
    return flight


def run(guest, platform, options):
    if guest not in GUESTS:
        print(f"GUEST={guest} is not known to `make run`: {' or '.join(GUESTS)}")
        return 2
    if guest == "linux":
        linux.built()
    settings = settings_of_platform(platform, SETTINGS)
    faults = parse_all(options.faults, wire.NAMES)
    directory = Path(options.into).resolve() if options.into else places.BUILD / "run"
    story = Story()
    started = time.monotonic()
    about = {"program": ["python3", "-m", "tools.lab", *sys.argv[1:]], "guest": guest}
    pair = Pair(settings, [GUESTS[guest]], directory, links={"net": options.link}, faults=faults, seed=options.seed, snap=SNAP_ALL, about=about) \
        if platform == "bochs" else Pair(settings, [GUESTS[guest]], directory)
    with pair:
        story.tell("lab", f"two pods: {settings.describe()}, link {options.link}")
        try:
            for pod in pair.pods:
                story.follow(pod.name, pod.log, lambda line: line.startswith(("[", "telepod:")))
            flight = travel(story, pair, guest, options.moves)
            if pair.laboratory.record:
                pair.laboratory.record.results = {"flights": pair.flights}
        finally:
            write_logs(pair, directory)
    record = directory / "teleport.json"
    record.write_text(json.dumps(flight, indent=1) + "\n")
    print("\n" + flight_table(flight, record))
    print(f"{os.path.relpath(record, places.ROOT)} is the flight record; pod-a.log and pod-b.log beside it are the consoles, cable.pcapng "
          f"is the cable. {time.monotonic() - started:.1f} s in all.")
    if platform == "bochs":
        print(f"The same again: python3 -m tools.lab again {os.path.relpath(directory / 'run.json', places.ROOT)}")
    return 0
