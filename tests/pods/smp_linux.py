"""An unmodified Linux with several vCPUs: as many as the pods have CPUs, under stress-ng, and twice as many. It is moved while
they work, and the kernel has to find nothing wrong, and its workload neither."""
from tests.pods.two_pods import TwoPods
from tools.lab import linux
from tools.lab.errors import expect, expect_equal

from tools.lab.settings import Machine
from tools.lab.waiting import wait_until

MOVES = 2
# Two threads of one process that map and unmap blocks of memory: with one of them on each processor, each has to call the
# other for every block. (The processes of --tlb-shootdown have an address space each, and seldom call.)
UNMAP = "--malloc,1,--malloc-pthreads,2,--malloc-bytes,64K,--malloc-max,32,--malloc-thresh,4096"
STRESS = f"stress={UNMAP},--tlb-shootdown,1,--timeout,0"
WORK = "work=count work_options=pages=128,rate=4,check=4"
# Rows of /proc/interrupts: timer, calls of functions, shoot-downs of translations.
ROWS = ("LOC", "CAL", "TLB")
GROW_SECONDS = 20
LOOP = 5_000        # numbers to print: some 0.4 s of a processor


class LinuxOnTwoCpus(TwoPods):
    directory = TwoPods.directory.parent / "linux-two-cpus"
    settings = Machine(ips=50_000_000, cpus=2)

    def make_guests(self):
        linux.built()
        return [linux.guest("stressed", f"{linux.QUICK} {WORK} {STRESS}", linux.STRESS, "192M", vcpus=2),
                linux.guest("four", f"{linux.QUICK} {WORK}", memory="96M", vcpus=4)]


def booted(pods, name, vcpus, pod=None):
    """Started, on pod-a unless said otherwise, and at its shell; with all its processors."""
    guest = pods.traveller(name, pod=pod)
    shell = linux.Shell(guest.pod, name, guest.arrived)
    shell.wait()
    expect_equal(shell.run("nproc", 60).strip(), str(vcpus), "processors of Linux")
    return guest


def expect_growth(guest, rows):
    """Each of these counts grows, on each processor."""
    shell = linux.Shell(guest.pod, guest.name)
    pattern = "|".join(rows)
    before = after = linux.interrupts(shell, pattern)

    def stuck():
        return [(row, cpu) for row in rows for cpu, count in enumerate(after[row][0]) if count <= before[row][0][cpu]]

    def grown():
        nonlocal after
        after = linux.interrupts(shell, pattern)
        return not stuck()

    wait_until(grown, GROW_SECONDS, lambda: f"rows and processors whose count does not grow: {stuck()}; {before}, {after}", 0.5)


def to_and_fro(guest, busy, moves=MOVES):
    """Moved while it works: no call and no timer is lost, or a processor would wait for ever."""
    busy(guest)
    for _ in range(moves):
        guest.move(seconds=100)
        busy(guest)
    linux.check_complaints(linux.Shell(guest.pod, guest.name))
    linux.check_workload(guest.text)
    guest.stop()


def under_stress(pods: LinuxOnTwoCpus):
    """Shoot-downs all the time, from both processors to both."""
    to_and_fro(booted(pods, "stressed", 2), lambda guest: expect_growth(guest, ROWS))


def count_on_each(guest):
    """A loop on each processor at once, longer than many ticks of its timer: all come to their ends."""
    shell = linux.Shell(guest.pod, guest.name)
    before = linux.interrupts(shell, "LOC")["LOC"][0]
    shell.run(f"for cpu in $(seq 0 {len(before) - 1}); do taskset $((1 << cpu)) seq {LOOP} > /dev/null & done; wait", 60)
    after = linux.interrupts(shell, "LOC")["LOC"][0]
    expect(all(now > then for now, then in zip(after, before)), f"a processor has no timer interrupts: {before}, {after}")


def four_on_two(pods: LinuxOnTwoCpus):
    """More processors than there are: they take turns, and notice nothing but that they are slow."""
    to_and_fro(booted(pods, "four", 4), count_on_each)
