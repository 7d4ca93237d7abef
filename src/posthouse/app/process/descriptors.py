"""How many files a process may have open: as many as it is allowed, and never so many clients that none is left.

The soft limit of many systems is 1,024, for the sake of programs that use select(); this one does not.
"""

import resource

from structlog.typing import FilteringBoundLogger

_MOST = 1 << 20  # where there is hardly a bound, some libraries walk through all numbers
_SPARE_SHARE = (
    2  # one descriptor of so many may be a client's connection; the rest: spools, packs, connections outwards
)


def raise_limit() -> int:
    """Raise the soft limit to the hard one, as far as that is of use; the limit from now on. Children inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST if hard == resource.RLIM_INFINITY else min(hard, _MOST)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):  # some systems have a bound of their own below the hard limit
            return soft
        return wanted
    return soft if soft != resource.RLIM_INFINITY else _MOST


def bound_connections(wanted: int, limit: int, log: FilteringBoundLogger) -> int:
    """How many clients may be connected to a process that may open `limit` files, if there are to be `wanted`."""
    room = max(1, limit // _SPARE_SHARE)
    if wanted <= room:
        return wanted
    log.warning(
        "fewer connections than configured, for want of file descriptors",
        configured=wanted,
        connections=room,
        descriptors=limit,
        fix=f"set LimitNOFILE={wanted * _SPARE_SHARE} (ulimit -n), or a lower limits.connections",
    )
    return room
