"""Boots of machines that differ: other processors, and volumes with something wrong on them."""
from tools.lab import laboratory, linux, oracle, places, run_qemu
from tools.lab.bochs import Alone
from tools.lab.errors import expect, expect_equal
from tools.lab.settings import Guest, Machine, Pod

FAST = Machine(ips=100_000_000)
DIRECTORY = places.BUILD / "test/boots"


def boot(name, settings, pod):
    return Alone(settings, pod, DIRECTORY / name)


def older_cpu():
    """No unrestricted guest (nor EPT's A/D bits): one sentence, and the pod goes on."""
    with boot("older", FAST.but(model="corei5_lynnfield_750"), Pod("pod-old", [Guest("hello")])) as pod:
        pod.ready()
        sentences = [line for line in pod.log.lines() if "no guests on this pod" in line]
        expect_equal(len(sentences), 1, "sentences that say why there are no guests")
        reply = pod.control.must_fail("start hello", ["no guests on this pod"])
        expect(any(word in reply["error"] for word in ("EPT", "unrestricted")), f"no feature named: {reply['error']}")
        pod.control.must("stats")


def haswell():
    """Neither TSC scaling nor PML; APICs in software as well, and a Linux that uses their own timers, not the TSC's."""
    linux.built()
    guests = [Guest("hello"), Guest("clock", cmdline="hz=100 count=100", console="com2"),
              linux.guest(cmdline=f"{linux.QUICK} nox2apic lapic=notscdeadline", devices="net", vcpus=2)]
    with boot("haswell", FAST.but(model="corei7_haswell_4770"), Pod("pod-h", guests, more="apicv = no\n")) as pod:
        pod.ready()
        expect("TSC scaling" not in pod.log.text(), "haswell has no TSC scaling")
        expect("APICs in software" in pod.log.text(), "apicv = no changes nothing")
        start = pod.log.position
        pod.control.must("start hello")
        pod.wait_log(r"\[hello\] hello: halt", 10, start)
        start = pod.com2.log.position
        pod.control.must("start clock")
        pod.com2.log.wait_for("clock: pass", 15, start, pod.alive)
        expect_equal(oracle.check_clock(pod.com2.log.text(start)), 100, "ticks")
        pod.control.must("stop clock")
        start = pod.com2.log.position
        pod.control.must("start linux")
        shell = linux.Shell(pod, "linux", start)
        shell.wait()
        expect_equal(linux.timers(shell), ["lapic", "lapic"], "timers of Linux")
        linux.check_complaints(shell)


def two_cpus():
    """A guest on the second CPU, one on the first: both run, and the second one's home is told."""
    guests = [Guest("clock", cmdline="hz=50 count=50", cpu="1"), Guest("hello", cpu="0")]
    with boot("smp", FAST.but(cpus=2, ips=50_000_000), Pod("pod-2", guests)) as pod:
        pod.ready()
        pod.control.must("start hello")
        pod.control.must("start clock")
        listed = {guest["name"]: guest for guest in pod.control.must("list")["guests"]}
        expect_equal(listed["clock"]["cpu"], 1, "CPU of clock")
        pod.wait_log(r"\[clock\] clock: pass", 30)
        pod.control.must("stop clock")
        pod.control.must_fail("start x image=clock.elf cpu=2", ["no CPU 2"])


def said(pod, name):
    text = []
    pod.control.must(f"console {name} position=0", 20, lambda event: text.append(event.get("text", "")))
    return "".join(text)


def several_vcpus():
    """As many vCPUs as CPUs, more than CPUs, the most there may be; each guest checks itself. One that is destroyed amidst it."""
    with boot("vcpus", FAST.but(cpus=2, ips=50_000_000), Pod("pod-v", [Guest("smp")])) as pod:
        pod.ready()
        for vcpus, rounds in ((2, 300), (4, 60), (16, 3)):
            start = pod.log.position
            pod.control.must(f"start smp vcpus={vcpus} cmdline=\"cpus={vcpus} rounds={rounds}\"")
            pod.wait_log(r"guest smp ended: ", 60, start)
            expect_equal(oracle.check_smp(said(pod, "smp")), rounds, f"rounds of {vcpus} vCPUs")
            pod.control.must("stop smp")
        start = pod.log.position
        pod.control.must("start smp vcpus=2 cmdline=\"alone=1\"")
        pod.wait_log(r"guest smp ended: every vCPU sleeps with interrupts off", 20, start)
        pod.control.must("stop smp")
        pod.control.must("start smp vcpus=4 cmdline=\"cpus=4 rounds=0\"")
        pod.run_for(1)
        for verb in ("pause", "resume", "stop"):
            pod.control.must(f"{verb} smp")
        pod.control.must_fail("start smp vcpus=17", ["vcpus", "16"])


def in_qemu(nic):
    """No VT-x, but a framebuffer, two CPUs and a network card that nobody here wrote."""
    def test():
        directory = places.BUILD / "test/qemu" / nic
        directory.mkdir(parents=True, exist_ok=True)
        run_qemu.boot(nic, directory, say=lambda sentence: None)

    return test


def panic():
    with boot("panic", FAST, Pod("pod-p", run=["selftest crash-null"])) as pod:
        for pattern in (r"RAX|rax", r"selftest_crash", r"[Bb]acktrace|stack", r"0x0*8\b|CR2"):
            pod.wait_log(pattern, 50)


def bad_ini():
    ini = "[pod]\nname = 7up\ncolour = blue\ncontrol_port = 99999\n[guest clock]\nmemory = 3M\nrubbish\n"
    with boot("ini", FAST, Pod("x", ini=ini)) as pod:
        pod.wait_log(r"the pod was not started", 50)
        text = pod.log.text()
        for line in (2, 3, 4, 6, 7):
            expect(f"telepod.ini, line {line}:" in text, f"line {line} is not complained about: {text[-1500:]}")


def no_ini():
    alone = boot("no-ini", FAST, Pod("x"))
    pod, prepare = alone.machine, alone.machine._write_volume

    def without_ini():
        prepare()
        (pod.directory / "esp/telepod/telepod.ini").unlink()

    pod._write_volume = without_ini
    with alone:
        pod.wait_log(r"telepod\.ini: there is no such file", 50)


def truncated_kernel():
    kernel = places.KERNEL.read_bytes()
    with boot("kernel", FAST, Pod("x", files={"kernel.elf": kernel[:len(kernel) // 2]})) as pod:
        pod.wait_log(r"cannot use \\telepod\\kernel\.elf: .*truncated", 50)


def missing_guest():
    """A warning; the pod starts, and refuses that guest alone."""
    ini = (f"[pod]\nname = pod-m\naddress = {laboratory.HOST.replace('.2.2', '.2.21')}/24\n[guest ghost]\nimage = ghost.elf\n[guest hello]\nimage = hello.elf\n")
    hello = places.guest_image("hello").read_bytes()
    with boot("missing", FAST, Pod("pod-m", ini=ini, files={"hello.elf": hello})) as pod:
        pod.ready()
        expect("cannot use \\telepod\\ghost.elf" in pod.log.text(), "no warning about ghost.elf")
        pod.control.must_fail("start ghost", ["ghost.elf"])
        pod.control.must("start hello")
