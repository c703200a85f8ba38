"""The two-pod tests: what they are called, which pair they want, how long they may take."""
from tests.pods import (apics, cold, console, failures, hostile, intruders, lan, lan_linux, machines, memtest, moves, others,
                        smp_linux, story, virtio)
from tests.pods.lan_pods import LanPods
from tests.pods.two_pods import TwoPods
from tests.suite import Test
from tools.lab import wire


def pair(name, function, seconds=60, fixture=TwoPods):
    return Test(f"pods/{name}", function, seconds, fixture)


CUT_STEPS = ["connect", "negotiate", "clock", "pre-copy", "round:0", "round:1", "pause", "residue", "state", "prepare"]
CHANGED = [(wire.HELLO, 1), (wire.GUEST, 2), (wire.ROUND_BEGIN, 1), (wire.PAGE, 1), (wire.ZERO, 1), (wire.ROUND_END, 1),
           (wire.STATE, 1), (wire.PREPARE, 1)]

TESTS = [
    pair("a clock moves four times", moves.clock),
    pair("there and back ten times", moves.ten_times, 120),
    pair("processor state moves", moves.fpu),
    pair("one goes, one stays", moves.beside),
    pair("two at once, both ways", moves.side_by_side),
    pair("a paused guest stays paused", moves.paused),
    pair("a guest that writes as fast as it can", moves.burning, 90),
    pair("a storm on the card that carries teleports", lan.storm, 120),
    pair("a guest with interrupts off", moves.spinning),
    pair("two vCPUs that share a CPU", moves.several_vcpus(2)),
    pair("memtest86+ goes on with its tests", memtest.to_and_fro, 120),
    pair("the flight record is whole", moves.flight_record),
    pair("a console follows its guest ten times", console.follows, 90),
    pair("a console that comes later", console.comes_later),
    pair("Linux comes over the network, and its console follows it", console.linux_from_nothing, 240, console.EmptyPods),
    pair("a console when the move fails", console.failed_move),
    pair("a console in the audit", console.in_the_audit),
    pair("a console of a guest that never arrives", console.never_arrives),
    pair("a console through doubt", console.through_doubt),
    pair("what is typed to a paused guest moves with it", console.waits_while_paused),
    pair("cold: a halted guest moves and starts there", cold.halted),
    pair("cold: a halted guest's disk goes with it", cold.disk),
    pair("cold: a guest that is switched off", cold.switched_off),
    pair("cold: the image is not there", cold.image_is_not_there),
    pair("cold: a paused guest with a disk", cold.paused),
    pair("cold: refused", cold.refused),
    pair("virtio: a disk that is written all the time", virtio.disk, 120),
    pair("virtio: a network card", virtio.net, 90),
    *[pair(f"link cut at {step}", failures.cut(step)) for step in CUT_STEPS],
    pair("link cut before COMMIT", failures.cut_commit),
    pair("link cut after COMMIT", failures.cut_running),
    pair("ten cuts leave nothing behind", failures.again_and_again, 90),
    pair("peer absent", failures.peer_absent),
    pair("unknown guest", failures.unknown_guest),
    pair("name taken on the target", failures.name_exists),
    pair("no memory on the target", failures.no_memory),
    pair("a guest on its way is left alone", failures.busy, 90),
    *[pair(f"a target silent after {wire.NAMES[kind]}", failures.silent(kind))
      for kind in (wire.HELLO, wire.CLOCK_PING, wire.ROUND_END, wire.PREPARE)],
    pair("targets that answer nonsense", failures.lying, 90),
    pair("READY with another digest", failures.wrong_ready),
    pair("in doubt, the operator says: here", failures.doubt_here),
    pair("in doubt, the operator says: there", failures.doubt_there),
    pair("a recorded stream is accepted", intruders.honest),
    pair("garbage on the teleport port", intruders.garbage),
    pair("each field of a header changed", intruders.headers),
    pair("a newer peer that speaks our version", intruders.newer_version_that_speaks_ours),
    pair("records at the wrong time", intruders.order),
    pair("streams that end too early", intruders.truncated),
    *[pair(f"each field of {wire.NAMES[kind]} changed", intruders.every_field(kind, stride), 120)
      for kind, stride in CHANGED],
    pair("XCR0 of a guest without XSAVE", hostile.xcr0_without_xsave),
    pair("each word of the state changed, and committed", hostile.every_word_committed, 120),
    pair("refused for a CPU feature", others.refused_for_a_feature, fixture=others.NewAndOld),
    pair("refused for a device", others.refused_for_a_device, fixture=others.NewAndOld),
    pair("from an older CPU to a newer", others.from_old_to_new, fixture=others.NewAndOld),
    pair("lan: reached on both pods", lan.reached, fixture=LanPods),
    pair("lan: announced after COMMIT", lan.announced, fixture=LanPods),
    pair("lan: silent before COMMIT", lan.silent_before_commit, 120, LanPods),
    pair("lan: no frames for strangers", lan.strangers, fixture=LanPods),
    pair("lan: a guest with another's address is not heard", lan.impostor, fixture=LanPods),
    pair("lan: a guest that floods", lan.flood, fixture=LanPods),
    pair("lan: three witnesses agree", lan.witnesses, 120, LanPods),
    pair("lan: Linux keeps its connections across ten moves", lan_linux.ten_times, 500, lan_linux.LinuxPods),
    pair("a disk travels with its guest", machines.disk_travels),
    pair("a guest that has ended moves", machines.ended),
    pair("a paused guest moves cold, with its disk", machines.paused_with_a_disk),
    pair("machines that the target does not make", machines.refused),
    pair("peer killed before COMMIT", failures.peer_killed, 90),          # the last of this fixture: it leaves no pair behind
    pair("a guest on the second CPU", moves.second_cpu, 120, others.TwoCpus),
    pair("two vCPUs on two CPUs", moves.several_vcpus(2), 120, others.TwoCpus),
    pair("four vCPUs on two CPUs", moves.several_vcpus(4), 120, others.TwoCpus),
    pair("Linux, its APICs in software and in hardware", apics.linux_from_software, 300, apics.HardwareAndSoftware),
    pair("two vCPUs, their APICs in hardware and in software", moves.several_vcpus(2), 120, apics.HardwareAndSoftware),
    pair("a clock, its APIC in hardware and in software", moves.clock, 60, apics.HardwareAndSoftware),
    pair("Linux with two vCPUs under stress-ng", smp_linux.under_stress, 400, smp_linux.LinuxOnTwoCpus),
    pair("Linux with four vCPUs on two CPUs", smp_linux.four_on_two, 300, smp_linux.LinuxOnTwoCpus),
    Test("run/clock", story.told("clock", [], 60), 70, story.OneStory),
    Test("run/linux", story.told("linux", ["its shell on pod-b answers 'uname -sr"], 180), 200, story.OneStory),
]
