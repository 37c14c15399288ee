"""What the API's parent and its processes say to each other over one socket pair, message by message.

Parent to process: the word to begin, accepted connections (the descriptor rides along), the word to finish.
Process to parent: serving, ready, a connection has ended.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

START = b"s"  # followed by the directory in which the processes add up their numbers
CONNECTION = b"c"
FINISH = b"f"
SERVING = b"v"  # answers requests, its models may still load
READY = b"r"  # a real inference through every default model succeeded
CLOSED = b"-"

CONTROL_FD = "GRAYSCALE_CONTROL_FD"  # the variable that tells a process its end of the pair
_MESSAGE_BYTES = 64
_START_BYTES = 8192  # a path has at most 4096 (PATH_MAX)


def channel() -> tuple[socket.socket, socket.socket]:
    """Two ends that keep messages apart (SOCK_SEQPACKET) and tell when the other end is gone; both non-blocking."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    theirs.setblocking(False)
    return ours, theirs


def send_start(end: socket.socket, metrics_dir: Path) -> None:
    """The settings can be used and the address is ours: the process may begin. Raises OSError when it is gone."""
    end.send(START + os.fsencode(metrics_dir))


def receive_start(end: socket.socket) -> Path | None:
    """Waits for the word to begin; None when the parent is gone instead."""
    end.setblocking(True)
    try:
        message = end.recv(_START_BYTES)
    except ConnectionResetError:
        return None
    finally:
        end.setblocking(False)
    return Path(os.fsdecode(message.removeprefix(START))) if message.startswith(START) else None


def send_connection(end: socket.socket, connection: socket.socket) -> None:
    """Raises BlockingIOError when the process does not keep up, OSError when it is gone."""
    socket.send_fds(end, [CONNECTION], [connection.fileno()])


def receive(end: socket.socket) -> tuple[bytes, socket.socket | None]:
    """The next message and the connection that came with it; an empty message when the other end is gone.

    Raises BlockingIOError when there is none.
    """
    try:
        message, descriptors, _, _ = socket.recv_fds(end, _MESSAGE_BYTES, 1)
    except ConnectionResetError:
        return b"", None
    connection = socket.socket(fileno=descriptors[0]) if descriptors else None
    if connection is not None:
        connection.setblocking(False)
    return message, connection
