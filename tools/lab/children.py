"""Child processes that never outlive the lab: each is killed by its own pid at exit, on signals, and by the kernel if the
lab itself is killed. Start them from the main thread: the kernel's promise is bound to the thread that forked."""
import atexit
import ctypes
import signal
import subprocess
import sys

PR_SET_PDEATHSIG = 1
STOP_SECONDS = 3

_children = []
_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent():
    """To be called by the child itself."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def spawn(command, **options):
    """A Popen whose end is ours to see to. Its signals are its own: Ctrl-C goes to the lab alone."""
    child = subprocess.Popen([str(word) for word in command], preexec_fn=die_with_parent, start_new_session=True,
                             **options)
    _children.append(child)
    return child


def stop(child):
    """SIGTERM, then SIGKILL; returns when the process is gone."""
    for end in (child.terminate, child.kill):
        if child.poll() is None:
            end()
            try:
                child.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                continue
    if child in _children:
        _children.remove(child)


def kill(child):
    """As a power cut: nothing is said to anyone."""
    child.kill()
    stop(child)


def _stop_all():
    for child in list(_children):
        kill(child)


def _on_signal(number, _frame):
    _stop_all()
    sys.exit(128 + number)


def install():
    """To be called once, by the main thread."""
    atexit.register(_stop_all)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, _on_signal)
