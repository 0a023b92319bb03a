"""Length-prefixed pickles over a Unix socket between a worker and its children: both ends are this program."""

from __future__ import annotations

import pickle
import socket
import struct
from typing import Any

_HEADER = struct.Struct("!Q")


def send(sock: socket.socket, message: Any) -> None:
    """Send one message whole; blocks while the other end does not read. Raises OSError if it is gone."""
    sock.sendall(_framed(message))


def receive(sock: socket.socket) -> Any:
    """Wait for one whole message; raises EOFError if the other end is gone."""
    (size,) = _HEADER.unpack(_exactly(sock, _HEADER.size))
    return pickle.loads(_exactly(sock, size))


def _framed(message: Any) -> bytes:
    payload = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    return _HEADER.pack(len(payload)) + payload


def _exactly(sock: socket.socket, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        part = sock.recv(size - len(parts))
        if not part:
            raise EOFError
        parts += part
    return bytes(parts)


class Inbox:
    """Messages of one non-blocking socket, put together from whatever pieces have come so far.

    A child that is stopped or killed in the middle of a message must not hold up the worker, so nothing here waits.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._pieces = bytearray()
        self.closed = False

    def take(self) -> list[Any]:
        """Every message that is whole by now; sets `closed` once the other end is gone."""
        while not self.closed:
            try:
                piece = self._sock.recv(1 << 16)
            except BlockingIOError:
                break
            except OSError:
                piece = b""
            if piece:
                self._pieces += piece
            else:
                self.closed = True
        messages = []
        while len(self._pieces) >= _HEADER.size:
            (size,) = _HEADER.unpack_from(self._pieces)
            end = _HEADER.size + size
            if len(self._pieces) < end:
                break
            messages.append(pickle.loads(bytes(self._pieces[_HEADER.size : end])))
            del self._pieces[:end]
        return messages


class Outbox:
    """Messages for one non-blocking socket: what it does not take at once is kept until `flush`."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._pieces = bytearray()

    @property
    def waiting(self) -> bool:
        """Whether there is more to send once the socket takes it."""
        return bool(self._pieces)

    def put(self, message: Any) -> None:
        self._pieces += _framed(message)
        self.flush()

    def flush(self) -> None:
        """Send as much as the socket takes; of a closed one the inbox tells."""
        try:
            while self._pieces:
                del self._pieces[: self._sock.send(self._pieces)]
        except BlockingIOError:
            pass
        except OSError:
            self._pieces.clear()
