"""Guests with virtio devices move: no request is lost, no sector is old, and the network card works on."""
import re

from tests.pods.two_pods import TwoPods
from tools.lab.errors import expect
from tools.lab.waiting import wait_until


DISK = "memory=4M disk_size=8M devices=block,entropy,console"
NET = "image=virtio_net.elf memory=4M devices=net"


def last(guest, pattern):
    """The number in the guest's latest line of that form."""
    found = re.findall(pattern, guest.text)
    return int(found[-1]) if found else 0


def wait_for_more(guest, pattern, before, seconds=20):
    wait_until(lambda: last(guest, pattern) > before or "FAIL" in guest.text, seconds,
               lambda: f"nothing new after {before}: {guest.text[-300:]!r}")
    expect("FAIL" not in guest.text, f"it said {guest.text[-300:]!r}")


def disk(pods: TwoPods):
    """A disk that is written and checked all the time, over six moves: what a round wrote, the next one finds."""
    guest = pods.traveller("virtio_block", f"{DISK} cmdline=\"count=0 sectors=8\"")
    rounds = r"round (\d+) ok"
    wait_for_more(guest, rounds, 0)
    for _ in range(6):
        guest.move()
        wait_for_more(guest, rounds, last(guest, rounds) + 1)
    expect("FAIL" not in guest.text, f"it said {guest.text[-300:]!r}")
    guest.stop()


def net(pods: TwoPods):
    """Back where its partner is, a guest's frames are answered again; both queues go on where they were."""
    frames = r"(\d+) frames came back"
    ping = pods.traveller("ping", f"{NET} cmdline=count=0")
    pods.a.control.must(f"start echo {NET} cmdline=\"role=echo count=0\"")
    wait_for_more(ping, frames, 0)
    for _ in range(2):
        before = last(ping, frames)
        ping.move()
        ping.run_for(0.5)
        ping.move()
        wait_for_more(ping, frames, before + 100)
    expect("FAIL" not in ping.text, f"it said {ping.text[-300:]!r}")
    pods.clear()
