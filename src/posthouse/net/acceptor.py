"""Accepting connections on one listening socket, also when the process has no file descriptor left.

The event loops' own accepting is not used: it makes a transport before anyone can say no, and out of descriptors
it gives up on the socket (uvloop) or leaves the clients waiting (asyncio).
"""

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Callable

from structlog.typing import FilteringBoundLogger

from posthouse.message.ip import canonical_ip

_AT_ONCE = 64  # accepted in one go, then the open connections get their turn
_PAUSE = 1.0  # seconds
_OUT_OF_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)
# accept(2): what the network did to a connection that waited; the next one may be sound.
_PASSING = (
    errno.ECONNABORTED,
    errno.EINTR,
    errno.ENETDOWN,
    errno.EPROTO,
    errno.ENOPROTOOPT,
    errno.EHOSTDOWN,
    errno.ENONET,
    errno.EHOSTUNREACH,
    errno.EOPNOTSUPP,
    errno.ENETUNREACH,
)
_COMPLAIN_EVERY = 60.0  # seconds

Address = tuple[str, int]
Admit = Callable[[socket.socket, Address], None]


class SpareDescriptor:
    """A descriptor kept for the day when there is none left: given up for a moment, it lets us say no politely."""

    def __init__(self) -> None:
        self._descriptor: int | None = None
        self.restore()

    def restore(self) -> None:
        """Take the descriptor back, if there is one to be had. Never raises: who calls it has a port to keep open."""
        if self._descriptor is None:
            with contextlib.suppress(OSError):  # it is asked for again before it is needed next
                self._descriptor = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        """Give it up for good."""
        self.give()

    def give(self) -> bool:
        """Make a descriptor free; returns whether there was one to give."""
        if self._descriptor is None:
            return False
        os.close(self._descriptor)
        self._descriptor = None
        return True


class Acceptor:
    """Takes connections from one listening socket, which it owns from now on, and passes them to `admit`."""

    def __init__(
        self,
        sock: socket.socket,
        *,
        admit: Admit,
        refusal: bytes,
        spare: SpareDescriptor,
        log: FilteringBoundLogger,
    ) -> None:
        self._sock = sock
        self._admit = admit
        self._refusal = refusal
        self._spare = spare
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._retry: asyncio.TimerHandle | None = None
        self._silent_until = 0.0
        self.turned_away = 0  # for want of descriptors
        sock.setblocking(False)
        self._loop.add_reader(sock, self._accept)

    def close(self) -> None:
        """Accept no more. May be called again."""
        if self._sock.fileno() < 0:
            return
        if self._retry is not None:
            self._retry.cancel()
        self._loop.remove_reader(self._sock)
        self._sock.close()

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            if not self._accept_one():
                return

    def _accept_one(self) -> bool:
        """Take one connection; returns whether there may be more to take now."""
        try:
            sock, address = self._sock.accept()
        except BlockingIOError:
            return False
        except OSError as error:
            return self._on_accept_error(error)
        try:
            self._admit(sock, plain_address(address))
        except Exception:  # the bad luck of one connection is not the next one's
            self._log.exception("connection failed early")
            sock.close()
        return True

    def _on_accept_error(self, error: OSError) -> bool:
        """Live with an error of accept(); returns whether there may be more to take now."""
        if error.errno in _PASSING:
            return True
        now = self._loop.time()
        if now >= self._silent_until:
            self._silent_until = now + _COMPLAIN_EVERY
            self._log.error("cannot accept", reason=error.strerror or str(error))
        if error.errno in _OUT_OF_DESCRIPTORS and self._spare.give():
            try:
                return self._turn_one_away()
            finally:
                self._spare.restore()
        self._pause()
        return False

    def _turn_one_away(self) -> bool:
        try:
            sock, _ = self._sock.accept()
        except BlockingIOError:
            return False
        except OSError:
            self._pause()  # another thread has taken the descriptor that was given up
            return False
        refuse(sock, self._refusal)
        self.turned_away += 1
        return True

    def _pause(self) -> None:
        self._loop.remove_reader(self._sock)
        self._retry = self._loop.call_later(_PAUSE, self._resume)

    def _resume(self) -> None:
        self._retry = None
        self._spare.restore()
        self._loop.add_reader(self._sock, self._accept)


def refuse(sock: socket.socket, refusal: bytes) -> None:
    """Say no, and hang up."""
    with sock:
        sock.setblocking(False)
        try:
            sock.send(refusal)
        except OSError:
            return  # it is gone already, or does not listen: no matter


def plain_address(address: object) -> Address:
    """The address and port of what accept() or getsockname() gave; ("", 0) for a Unix socket."""
    if not isinstance(address, tuple) or len(address) < 2:
        return "", 0
    ip = str(address[0])
    return canonical_ip(ip) if ":" in ip else ip, int(address[1])
