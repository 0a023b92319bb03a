"""The fork server: a process that has torch imported and no tensor touched, and forks a child for each job, and one for each
device whose jobs share a process.

Run as a script by the process PID, with the arguments FD PID. Over the control socket FD the worker sends one byte with the
job's socket attached; the server answers "pid N", and later "exit N CODE" for each child that ended (CODE is negative for a
signal, as subprocess has it). When the worker is gone the control socket closes and the server ends. A child reads its order
from its own socket (a job, or to host lanes: `lane_host`), writes events to it, and ends at once when the socket closes:
nothing outlives a killed worker. On Linux the kernel sees to it as well, for a thread that watches a socket sees nothing
while another holds the interpreter's lock, as the loading of torch's libraries does.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from typing import Any

from core.executors import wire
from core.executors.allocator import keep_freed_memory
from core.executors.disk import unwritable
from core.executors.messages import HostLanes, Order

_PR_SET_PDEATHSIG = 1


def serve(control: socket.socket, worker: int) -> None:
    """Fork on request until the worker, a process id, is gone."""
    _end_with(worker)
    _ignore_the_terminal()
    with _ending_with_the_worker(control):
        _import_everything()
    wake_reader, wake_writer = os.pipe()
    os.set_blocking(wake_writer, False)
    signal.set_wakeup_fd(wake_writer)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    control.sendall(b"ready\n")
    while True:
        sources: list[Any] = [control, wake_reader]
        ready, _, _ = select.select(sources, [], [])
        if wake_reader in ready:
            os.read(wake_reader, 512)
            for pid, code in _ended_children():
                control.sendall(f"exit {pid} {code}\n".encode())
        if control in ready:
            request, descriptors, _, _ = socket.recv_fds(control, 1, 1)
            if not request:
                return
            server = os.getpid()
            pid = os.fork()
            if pid == 0:
                _end_with(server)
                signal.set_wakeup_fd(-1)
                for inherited in (wake_reader, wake_writer, control.detach()):
                    os.close(inherited)
                _child(socket.socket(fileno=descriptors[0]))
            os.close(descriptors[0])
            control.sendall(f"pid {pid}\n".encode())


def _end_with(parent: int) -> None:
    """Have the kernel kill this process when the thread that started it ends. Elsewhere than on Linux the sockets do."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before it could be watched
        os._exit(1)


def _ignore_the_terminal() -> None:
    """Ctrl-C and hang-up go to the whole foreground group; the worker decides what they mean for its children."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextlib.contextmanager
def _ending_with_the_worker(control: socket.socket) -> Iterator[None]:
    """Importing torch takes seconds; a worker killed meanwhile must not leave the server behind. The watching thread is
    gone before anything forks."""
    imported = threading.Event()

    def watch() -> None:
        while not imported.is_set():
            readable, _, _ = select.select([control], [], [], 0.05)
            if readable and not control.recv(1, socket.MSG_PEEK):
                os._exit(1)
            imported.wait(0.05)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        imported.set()
        watcher.join()


def _import_everything() -> None:
    """What a trial needs, so that a child starts in milliseconds. Imports only: CUDA and thread pools stay untouched.

    torch.optim imports torch._dynamo on its first use, over a second in every child if it is not here already. Plugins are
    loaded by the child that needs one: what they do while they are, as touching CUDA, may not cost the others theirs. The
    garbage collector stays out of the imports, a seventh of the time, and never looks at these modules, in no child either.
    """
    gc.disable()
    import torch
    import torch._dynamo

    import core.executors.lane_host
    import core.jobs.run  # noqa: F401
    from core.environment import processor
    from core.revision import source_revision

    # Asked once, of the source that was imported just now; each child has the answers from its first line.
    processor()
    source_revision()
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        raise RuntimeError("importing core.jobs.run initialised CUDA, which does not survive a fork")
    gc.freeze()
    gc.enable()


def _ended_children() -> list[tuple[int, int]]:
    ended: list[tuple[int, int]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended.append((pid, os.waitstatus_to_exitcode(status)))


def _child(sock: socket.socket) -> None:
    """Run one job to its end; never returns."""
    code = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        code = _run(sock)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stderr.flush()
        os._exit(code)


def _run(sock: socket.socket) -> int:
    order: Order = wire.receive(sock)
    if isinstance(order, HostLanes):
        from core.executors.lane_host import host

        return host(sock, order)
    keep_freed_memory()
    stop = threading.Event()
    threading.Thread(target=_watch, args=(sock, stop), daemon=True).start()
    from core.jobs.run import run_job

    try:
        for event in run_job(order, stop.is_set):
            _report(sock, event)
    except OSError as error:
        _report(sock, unwritable(error, order.folder))
    return 0


def _report(sock: socket.socket, event: Any) -> None:
    try:
        wire.send(sock, event)
    except OSError:
        os._exit(1)  # the worker is gone; nobody is left to tell


def _watch(sock: socket.socket, stop: threading.Event) -> None:
    """Messages from the worker mean stop; the end of the socket means that the worker is gone."""
    while True:
        try:
            wire.receive(sock)
        except (EOFError, OSError):
            os._exit(1)
        stop.set()


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]))
