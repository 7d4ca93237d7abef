"""TCP keepalive (RFC 9293 3.8.4): a silent connection is probed, so that NAT remembers it and a dead peer shows."""

import contextlib
import socket

_BETWEEN_PROBES = 30  # seconds
_PROBES = 6  # without an answer, after which the connection is lost


def keep_alive(sock: socket.socket, seconds: float) -> None:
    """Have the system probe after so many seconds of silence; 0: never. What a listening socket accepts inherits it."""
    if not seconds or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    with contextlib.suppress(OSError):  # the connection works without
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, max(1, round(seconds)))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _BETWEEN_PROBES)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _PROBES)
