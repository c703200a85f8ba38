"""Pairs of machines that differ from each other, or from the usual."""
from tests.pods.two_pods import SETTINGS, TwoPods
from tools.lab import oracle, places
from tools.lab.errors import expect, expect_equal


class NewAndOld(TwoPods):
    """pod-b is a haswell, which lacks some of icelake's features, and RDRAND; pod-a's guests have no card to the LAN."""
    directory = places.BUILD / "test/new-and-old"
    other_settings = SETTINGS.but(model="corei7_haswell_4770", lacks="rdrand")
    more_of_a = "lan = 3\n"


class TwoCpus(TwoPods):
    directory = places.BUILD / "test/two-cpus"
    settings = SETTINGS.but(cpus=2)


def refused_for_a_feature(pods: NewAndOld):
    """The refusal names the feature in the manual's words, before a page is sent; the guest goes on."""
    clock = pods.traveller("clock")
    clock.run_for(0.5)
    reply = pods.failed_teleport(clock, "", ["CPUID"])
    expect("bit" in reply["error"] or "leaf" in reply["error"] or "XCR0" in reply["error"],
           f"the feature is not named: {reply['error']!r}")
    expect(reply["flight"]["rounds"] == [], "pages were sent before the refusal")
    clock.run_for(0.5)
    oracle.check_clock(clock.text)
    clock.stop()


def refused_for_a_device(pods: NewAndOld):
    """What a device needs and the pod has not is named; nothing is started, and nothing half moved."""
    pods.clear()
    before = pods.resources()
    reply = pods.b.control.call("start clock devices=entropy")
    expect(not reply["ok"] and "RDRAND" in reply["error"], f"an entropy device without RDRAND: {reply}")
    pods.a.control.must("start clock devices=net")
    pods.a.control.must("stop clock")
    expect_equal(pods.resources(), before, "resources")
    clock = pods.traveller("clock", "devices=net", pods.b)
    reply = pods.failed_teleport(clock, "", ["network card", "no card on the guests' LAN"])
    expect_equal(reply["flight"]["rounds"], [], "rounds before the refusal")
    clock.run_for(0.5)
    oracle.check_clock(clock.text)
    clock.stop()


def from_old_to_new(pods: NewAndOld):
    """The other direction works."""
    dirtier = pods.traveller("dirtier", pod=pods.b)
    dirtier.run_for(0.5)
    dirtier.move()
    dirtier.verify_memory()
    oracle.check_dirtier(dirtier.text)
    dirtier.stop()
