"""Bind the ports, before privileges are given up and before workers are made.

Every worker gets listening sockets of its own on the same ports (SO_REUSEPORT): the kernel spreads connections over
them. The parent keeps all of them open, so what waits in a dead worker's queue is taken up by its successor.
"""

import errno
import socket
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from posthouse.app.config.endpoints import Endpoint
from posthouse.app.config.services import ListenRequest, Service
from posthouse.app.errors import CommandError, Exit

BACKLOG = 1024


@dataclass(frozen=True, slots=True)
class BoundService:
    """One service at one place, with one listening socket for each worker."""

    service: Service
    endpoint: Endpoint  # with the port that was given, where 0 was asked for
    sockets: tuple[socket.socket, ...]


def bind_all(places: Sequence[ListenRequest], workers: int, *, advice: str = "") -> list[BoundService]:
    """Bind every place, or none: raises CommandError that names the port and the fix."""
    bound: list[BoundService] = []
    try:
        for place in places:
            bound.extend(_bind(place, workers, advice))
    except BaseException:
        close_all(bound)
        raise
    return bound


def close_sockets(bound: Sequence[BoundService]) -> None:
    """Let go of every port, in this process. Names of Unix sockets stay: they may be another server's by now."""
    for place in bound:
        for sock in place.sockets:
            sock.close()


def close_all(bound: Sequence[BoundService]) -> None:
    """Let go of every port, and of the names of Unix sockets."""
    close_sockets(bound)
    for place in bound:
        if place.endpoint.path:
            Path(place.endpoint.path).unlink(missing_ok=True)


def _bind(place: ListenRequest, workers: int, advice: str) -> list[BoundService]:
    try:
        if place.endpoint.path:
            return [BoundService(place.service, place.endpoint, _bind_unix(place.endpoint.path, workers))]
        return [_bind_tcp(place.service, *target, workers) for target in _targets(place.endpoint)]
    except OSError as error:
        raise _explain(error, place, advice) from None


def _targets(endpoint: Endpoint) -> list[tuple[socket.AddressFamily, str, int]]:
    if endpoint.host:
        found = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        return [(socket.AddressFamily(family), str(where[0]), endpoint.port) for family, _, _, _, where in found]
    every = [(socket.AF_INET, "0.0.0.0", endpoint.port)]
    return [*every, (socket.AF_INET6, "::", endpoint.port)] if _has_ipv6() else every


def _has_ipv6() -> bool:
    if not socket.has_ipv6:
        return False
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as sock:
            sock.bind(("::", 0))
    except OSError:
        return False
    return True


def _bind_tcp(service: Service, family: socket.AddressFamily, host: str, port: int, workers: int) -> BoundService:
    # With SO_REUSEPORT a second server of ours would share the port unnoticed: try it alone first.
    with _tcp_socket(family, share=False) as probe:
        probe.bind((host, port))
    sockets: list[socket.socket] = []
    try:
        for _ in range(workers):
            sock = _tcp_socket(family, share=workers > 1)
            sockets.append(sock)
            sock.bind((host, port))
            sock.listen(BACKLOG)
            port = sock.getsockname()[1]
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
    return BoundService(service, Endpoint(host, port), tuple(sockets))


def _tcp_socket(family: socket.AddressFamily, *, share: bool) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if share:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.setblocking(False)
    return sock


def _bind_unix(path: str, workers: int) -> tuple[socket.socket, ...]:
    _clear_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    bound = False
    try:
        sock.bind(path)
        bound = True
        # Each user who may reach the folder may deliver: LMTP gives no more rights than port 25 does.
        Path(path).chmod(0o666)
        sock.listen(BACKLOG)
        sock.setblocking(False)
        return (sock, *(sock.dup() for _ in range(workers - 1)))  # a path has one queue: workers share it
    except BaseException:
        sock.close()
        if bound:
            Path(path).unlink(missing_ok=True)
        raise


def _clear_stale(path: str) -> None:
    """Remove the name a dead server left; a living one still answers, and keeps it."""
    try:
        if not stat.S_ISSOCK(Path(path).lstat().st_mode):
            raise OSError(errno.EADDRINUSE, "there is a file that is no socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            Path(path).unlink(missing_ok=True)
            return
    raise OSError(errno.EADDRINUSE, "another server answers there")


def _explain(error: OSError, place: ListenRequest, advice: str) -> CommandError:
    where = f"port {place.endpoint.port}" if place.endpoint.port else str(place.endpoint)
    if isinstance(error, socket.gaierror):
        text = f"{place.key}: {place.endpoint.host} is no address or host name here"
        return CommandError(text, fix="Write an address of this machine.", code=Exit.CONFIG)
    if error.errno == errno.EADDRINUSE:
        look = f"See who has it: ss -ltnp 'sport = :{place.endpoint.port}'" if place.endpoint.port else "Stop that one."
        text = f"{where} ({place.service}) is already in use"
        return CommandError(text, fix=advice or f"{look}; or choose another: {place.key}", code=Exit.UNAVAILABLE)
    if error.errno in (errno.EACCES, errno.EPERM):
        text = f"{where} ({place.service}) may be bound by root only"
        fix = f"Start as root (posthouse then becomes server.user), or set {place.key} to a port above 1023."
        return CommandError(text, fix=fix, code=Exit.NO_PERMISSION)
    text = f"cannot listen at {place.endpoint} ({place.service}): {error.strerror or error}"
    return CommandError(text, fix=f"Set {place.key} to an address of this machine.", code=Exit.UNAVAILABLE)
