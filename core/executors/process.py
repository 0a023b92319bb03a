"""Each job in a child of its own, forked from a server that has torch imported: a crash costs one attempt, no more."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from core import launch
from core.errors import Unavailable
from core.events import LAST_EVENTS, Crashed, Event
from core.executors import wire
from core.executors.messages import FromChild, Order, Stop, ToChild
from core.executors.protocol import Lanes, Slot
from core.jobs.orders import AnyJob

_SERVERS_IN_A_ROW = 5
"""Fork servers that may die without any event between them before the machine, not bad luck, is to blame."""
_LOG_BYTES = 4 << 20
_EXIT_STATUS_SECONDS = 2.0
"""How long an ended child may wait for its server to say how it ended."""


@dataclass
class _Child:
    sock: socket.socket
    inbox: wire.Inbox
    outbox: wire.Outbox
    unsent: list[ToChild]
    """Messages for when it has been forked, its order first."""
    pid: int | None = None
    """None until the server has forked it, which takes seconds while the server imports torch."""
    last_event_seen: bool = False
    exit_code: int | None = None
    closed_at: float | None = None
    killed: bool = False
    fault: bool = True


@dataclass
class _Server:
    process: subprocess.Popen[bytes]
    control: socket.socket
    lines: bytearray = field(default_factory=bytearray)


class ProcessExecutor:
    """The client side of the fork server. `log` takes whatever the children print (they should print nothing)."""

    def __init__(self, slots: Sequence[Slot], log: Path) -> None:
        self._slots = tuple(slots)
        self._log = log
        self._server: _Server | None = None
        self._children: dict[str, _Child] = {}
        self._asked: deque[str] = deque()
        """Jobs whose fork was asked for and has not been answered, in that order."""
        self._servers_lost = 0

    def capacity(self) -> Sequence[Slot]:
        return self._slots

    def lanes(self) -> Mapping[str, Lanes]:
        return {}

    def pids(self) -> dict[str, int]:
        """The process of each running job that has one by now."""
        return {key: child.pid for key, child in self._children.items() if child.pid is not None}

    def warm(self) -> None:
        """Start the fork server now and do not wait for it: importing torch takes seconds that others can use."""
        if self._server is None:
            self._server = self._launch()

    def submit(self, key: str, job: AnyJob) -> None:
        self.start(key, job)

    def start(self, key: str, order: Order) -> None:
        """Start a child that carries out `order`."""
        self._ask_for(key, [order])

    def send(self, key: str, message: ToChild) -> None:
        """Send a child one message more, once it has been forked; does not wait for it to be read."""
        child = self._children.get(key)
        if child is None or child.inbox.closed:
            return
        if child.pid is None:
            child.unsent.append(message)
        else:
            child.outbox.put(message)

    def poll(self, timeout: float) -> Sequence[tuple[str, Event]]:
        return cast(Sequence[tuple[str, Event]], self.messages(timeout))  # a job's child sends nothing else

    def messages(self, timeout: float) -> Sequence[tuple[str, FromChild]]:
        """As `poll`, of children that send other messages too. The last of each is one of LAST_EVENTS."""
        self._wait(timeout)
        self._read_server()
        for key, child in list(self._children.items()):
            if child.pid is None and key not in self._asked:  # its server died before it could fork
                self._ask_for(key, child.unsent)
        told: list[tuple[str, FromChild]] = []
        for key, child in list(self._children.items()):
            for message in child.inbox.take():
                told.append((key, message))
                child.last_event_seen = child.last_event_seen or isinstance(message, LAST_EVENTS)
                self._servers_lost = 0
            if child.inbox.closed:
                last = self._how_it_ended(child)
                if last is not None or child.last_event_seen:
                    child.sock.close()
                    del self._children[key]
                    if last is not None:
                        told.append((key, last))
        return told

    def cancel(self, key: str, *, now: bool = False) -> None:
        child = self._children.get(key)
        if child is None or child.inbox.closed:
            return
        if not now:
            self.send(key, Stop(key))
            return
        child.killed = True
        if child.pid is not None:
            _kill(child.pid)

    def close(self) -> None:
        for child in self._children.values():
            if not child.inbox.closed and child.pid is not None:
                _kill(child.pid)
            child.sock.close()
        self._children.clear()
        if self._server is not None:
            self._server.control.close()
            self._server.process.kill()
            self._server.process.wait()
            self._server = None

    # --- the server ---

    def _ask_for(self, key: str, messages: Sequence[ToChild]) -> None:
        """Ask the server to fork a child, whose first messages these will be; starts the server first if there is none.

        Does not wait: a server that still imports torch has the request in its socket, and `poll` takes the answer.
        """
        before = self._children.get(key)
        ours, theirs = socket.socketpair()
        child = _Child(ours, wire.Inbox(ours), wire.Outbox(ours), list(messages))
        if before is not None:
            before.sock.close()
            child.killed = before.killed
        self._children[key] = child
        with theirs:
            if self._server is None:
                self._server = self._launch()
            try:
                socket.send_fds(self._server.control, [b"F"], [theirs.fileno()])
                self._asked.append(key)
            except OSError:
                self._lose_server()

    def _launch(self) -> _Server:
        if self._servers_lost >= _SERVERS_IN_A_ROW:
            raise Unavailable(f"the processes that train cannot be started; their last words are in {self._log}")
        self._log.parent.mkdir(parents=True, exist_ok=True)
        if self._log.exists() and self._log.stat().st_size > _LOG_BYTES:
            self._log.replace(self._log.with_name(self._log.name + ".1"))
        ours, theirs = socket.socketpair()
        with theirs, self._log.open("ab") as log:
            process = subprocess.Popen(
                launch.command("core.executors.fork_server", str(theirs.fileno()), str(os.getpid())),
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=_environment(),
                start_new_session=True,  # the terminal's Ctrl-C is the worker's to answer
            )
        return _Server(process, ours)

    def _lose_server(self) -> None:
        """The server is dead. Its children live on without a parent to report them: end each, so that no attempt of
        the same trial can overlap with the next one."""
        if self._server is None:
            return
        self._read_server_lines_left()
        self._server.control.close()
        self._server.process.kill()
        self._server.process.wait()
        self._server = None
        self._servers_lost += 1
        self._asked.clear()  # poll asks the next server for what this one has not forked
        for child in self._children.values():
            if child.pid is None:
                continue
            child.fault = child.exit_code is not None
            if child.pid is not None and child.exit_code is None and not child.inbox.closed:
                _kill(child.pid)

    def _read_server_lines_left(self) -> None:
        assert self._server is not None
        with contextlib.suppress(OSError, EOFError):
            while True:
                self._take_line(self._next_line(self._server, 0.0))

    def _read_server(self) -> None:
        """Take in what the server says; notice a dead one."""
        if self._server is None:
            return
        try:
            while True:
                self._take_line(self._next_line(self._server, 0.0))
        except TimeoutError:
            pass
        except (OSError, EOFError):
            self._lose_server()

    def _next_line(self, server: _Server, timeout: float) -> bytes:
        """One line from the server; raises TimeoutError if none is whole in time, EOFError if the server is gone."""
        deadline = time.monotonic() + timeout
        while b"\n" not in server.lines:
            ready, _, _ = select.select([server.control], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError
            piece = server.control.recv(4096)
            if not piece:
                raise EOFError
            server.lines += piece
        line, _, rest = bytes(server.lines).partition(b"\n")
        server.lines[:] = rest
        return line

    def _take_line(self, line: bytes) -> None:
        """ "ready", "pid N" in the order of the requests, "exit N CODE"."""
        word, *numbers = line.split()
        if word == b"pid":
            self._begin(self._children[self._asked.popleft()], int(numbers[0]))
        elif word == b"exit":
            for child in self._children.values():
                if child.pid == int(numbers[0]) and child.exit_code is None:
                    child.exit_code = int(numbers[1])

    def _begin(self, child: _Child, pid: int) -> None:
        child.pid = pid
        if child.killed:
            _kill(pid)
            return
        for message in child.unsent:  # a child that is already gone is reported by poll
            child.outbox.put(message)
        child.unsent.clear()

    # --- the children ---

    def _wait(self, timeout: float) -> None:
        there = [child for child in self._children.values() if not child.inbox.closed]
        waiting = [child.sock for child in there]
        behind = [child for child in there if child.outbox.waiting]
        if self._server is not None:
            waiting.append(self._server.control)
        if any(child.inbox.closed for child in self._children.values()):
            timeout = min(timeout, 0.01)
        if waiting:
            _, ready, _ = select.select(waiting, [child.sock for child in behind], [], timeout)
            for child in behind:
                if child.sock in ready:
                    child.outbox.flush()
        elif timeout > 0:
            time.sleep(timeout)

    def _how_it_ended(self, child: _Child) -> Crashed | None:
        """The last event of a child that sent none, once its exit status is known or not to be had."""
        if child.last_event_seen:
            return None
        child.closed_at = child.closed_at or time.monotonic()
        orphaned = not child.fault
        if child.exit_code is None and not orphaned and time.monotonic() < child.closed_at + _EXIT_STATUS_SECONDS:
            return None
        if child.killed:
            return Crashed("killed on request", child.exit_code, trial_at_fault=False)
        if orphaned:
            return Crashed("its fork server died", None, trial_at_fault=False)
        return Crashed(_in_words(child.exit_code), child.exit_code)


def _in_words(code: int | None) -> str:
    if code is None:
        return "the training process ended without a word"
    if code < 0:
        name = signal.Signals(-code).name
        hint = " (out of memory, if nobody sent it)" if -code == signal.SIGKILL else ""
        return f"the training process was ended by {name}{hint}"
    return f"the training process ended with exit code {code}"


def _environment() -> dict[str, str]:
    """The worker's environment, plus what only the children need."""
    environment = dict(os.environ)
    environment.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    environment.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # deterministic matrix products on CUDA
    return environment


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
