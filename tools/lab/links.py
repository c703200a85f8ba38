"""Links by name. The real ones are given here, and scaled to the emulated processor: what counts for a teleport is how many
instructions a pod has for each byte of the link, and for each journey over it, so both are kept. docs/lab.md has the figures."""
from dataclasses import asdict, dataclass, replace

from .library import LinkProfile
from .errors import LabError

# Instructions that a core of a real machine retires in a second of such work: 3 GHz, one in each cycle.
REAL_IPS = 3_000_000_000
US = 1000


@dataclass(frozen=True)
class Link:
    """A link of a real machine; times in microseconds, chances in a million frames."""
    bits_per_s: int
    latency_us: float           # from the sender's card through a switch to the receiver's
    queue_bytes: int = 512 * 1024
    frame_max: int = 1518       # bytes, with a VLAN tag
    loss: int = 0
    duplication: int = 0
    reordering: int = 0
    corruption: int = 0
    reorder_us: float = 0

    def scaled(self, ips):
        """The same for a processor of `ips` instructions a second; whole microseconds of virtual time."""
        factor = REAL_IPS / ips
        return LinkProfile(round(self.bits_per_s / factor), round(self.latency_us * factor) * US, self.queue_bytes, self.frame_max,
                           self.loss, self.duplication, self.reordering, self.corruption, round(self.reorder_us * factor) * US)

    def describe(self, ips):
        profile = self.scaled(ips)
        return {"real": asdict(self), "bits_per_s": profile.bits_per_s, "latency_us": profile.latency_ns / US,
                "queue_bytes": profile.queue_bytes}


LINKS = {
    "lan": Link(bits_per_s=1_000_000_000, latency_us=10),
    "10g": Link(bits_per_s=10_000_000_000, latency_us=5, queue_bytes=1024 * 1024),
    "wan": Link(bits_per_s=1_000_000_000, latency_us=1000),
    "lossy": replace(Link(bits_per_s=1_000_000_000, latency_us=10), loss=5000, duplication=1000, reordering=5000, corruption=200,
                     reorder_us=40),
}


def link(name):
    if name not in LINKS:
        raise LabError(f"there is no link {name!r}: {', '.join(LINKS)}")
    return LINKS[name]
