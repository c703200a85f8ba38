"""Two pods in Bochs, booted once for all tests that do not need other machines."""
from tools.lab import linux, places
from tools.lab.errors import Failure, expect, expect_equal
from tools.lab.pair import Pair, Traveller, expect_back, resources, settled

from tools.lab.settings import Guest, Machine
from tools.lab.waiting import wait_until

SETTINGS = Machine(ips=50_000_000)
GUESTS = ["clock", "dirtier", "fpu", "hello", "smp", "spin_cli", "chatter", "virtio_block", "net_echo", "virtio_net"]


def all_resources(pair):
    return {pod.name: resources(pod) for pod in pair.pods}


class TwoPods(Pair):
    directory = places.BUILD / "test/two-pods"
    settings = SETTINGS
    other_settings = None
    more_of_a = ""                  # lines of pod-a's [pod] section
    links = {"net": "10g", "lan": "10g"}    # guests that write fast, and floods, are part of the tests

    def __init__(self):
        super().__init__(self.settings, self.make_guests(), self.directory, self.other_settings, self.more_of_a, links=self.links)

    def make_guests(self):
        return [*(Guest(name) for name in GUESTS), linux.MEMTEST]

    def start(self):
        super().start()
        return self.ready()

    def usable(self):
        return all(pod.alive() for pod in self.pods)

    def traveller(self, name, start="", pod=None):
        self.clear()
        return Traveller(self, name, start, pod)

    def clear(self):
        """No guest is left of an earlier test, but one that a target keeps since its source might be in doubt."""
        for pod in self.pods:
            wait_until(lambda: not self._stop_all(pod), 20, f"{pod.name} does not get rid of its guests")

    @staticmethod
    def _stop_all(pod):
        """The guests that there were."""
        guests = [guest for guest in pod.control.must("list")["guests"] if guest["state"] != "incoming"]
        for guest in guests:
            pod.control.call(f"stop {guest['name']}" + (" force" if guest["state"] == "in doubt" else ""))
        return guests

    def guest(self, pod, name):
        for guest in pod.control.must("list")["guests"]:
            if guest["name"] == name:
                return guest
        return None

    def resources(self):
        return settled(self, all_resources)

    def expect_resources(self, before, what="resources of both pods"):
        expect_back(self, all_resources, before, what)

    def failed_teleport(self, traveller, options, words, seconds=40, address=None):
        """A teleport that must fail with these words, and leave the guest running where it is; the reply."""
        address = address or self.other(traveller.pod).peer_address
        reply = traveller.pod.control.call(f"teleport {traveller.name} {address} {options}".strip(), seconds)
        if reply["ok"]:
            raise Failure("the teleport succeeded, but should not have")
        for word in words:
            expect(word.lower() in reply["error"].lower(), f"the error does not say {word!r}: {reply['error']!r}")
        if "flight" in reply:
            expect_equal(reply["flight"]["outcome"], "kept", "outcome")
        expect_equal(self.guest(traveller.pod, traveller.name)["state"], "running", "state of the guest on the source")
        return reply

    def other_is_empty(self, traveller, seconds=5):
        """The target has freed what it took."""
        other = self.other(traveller.pod)
        wait_until(lambda: self.guest(other, traveller.name) is None, seconds, f"{traveller.name} is still on the target")
