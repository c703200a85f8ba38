"""`make lab`: two pods for work by hand, at the pace of the wall clock, until Ctrl-C."""
from . import places, waiting
from .pair import Pair
from .settings import Guest, Machine

GUESTS = ("clock", "dirtier", "hello", "fpu", "smp")


def by_hand(link):
    client = "build/tools/telepod"
    with Pair(Machine(), [Guest(name) for name in GUESTS], places.BUILD / "lab-by-hand", links={"net": link}) as pair:
        print("booting two pods ...", flush=True)
        pair.ready()
        for pod in pair.pods:
            print(f"  {pod.name}: {client} 127.0.0.1:{pod.control_port} list", flush=True)
        print(f"To move a guest:\n  {client} 127.0.0.1:{pair.a.control_port} start clock\n"
              f"  {client} 127.0.0.1:{pair.a.control_port} teleport clock {pair.b.peer_address}\n"
              "Virtual time goes as fast as the wall clock's, or slower. Ctrl-C ends both pods.", flush=True)
        try:
            with pair.laboratory.host_program():
                while all(pod.alive() for pod in pair.pods):
                    waiting.sleep(0.1)
            print("a pod has switched itself off")
        except KeyboardInterrupt:
            print(f"\nended after {pair.laboratory.now():.3f} s of virtual time; {places.BUILD.name}/lab-by-hand has what was seen")
    return 0
