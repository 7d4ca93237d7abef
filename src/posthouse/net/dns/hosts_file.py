"""The names that this machine knows by itself: localhost, and those of /etc/hosts (hosts(5)).

DNS knows neither. They count for what the operator has written down, never for what a domain's owner says in DNS.
"""

from ipaddress import ip_address
from pathlib import Path

_LOOPBACK = ("127.0.0.1", "::1")
_MAX_OCTETS = 1 << 20


class HostsFile:
    """Reads the file again when it has changed."""

    def __init__(self, path: Path = Path("/etc/hosts")) -> None:
        self._path = path
        self._mark: tuple[int, int, int] | None = None
        self._names: dict[str, tuple[str, ...]] = {}

    def addresses(self, name: str) -> tuple[str, ...]:
        """Where a host is, in the order of the file; nothing when it is not in there."""
        name = name.lower().rstrip(".")
        self._read_if_changed()
        if found := self._names.get(name):
            return found
        # RFC 6761 6.3: localhost and all below it are this machine, whatever DNS says.
        return _LOOPBACK if name == "localhost" or name.endswith(".localhost") else ()

    def _read_if_changed(self) -> None:
        try:
            status = self._path.stat()
            mark = (status.st_mtime_ns, status.st_ino, status.st_size)
            if mark != self._mark:
                with self._path.open(errors="replace") as file:
                    self._names = parse(file.read(_MAX_OCTETS))
                self._mark = mark
        except OSError:  # most likely there is none
            self._mark, self._names = None, {}


def parse(text: str) -> dict[str, tuple[str, ...]]:
    """Name -> its addresses. Lines that are none are skipped, as by the C library."""
    found: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        try:
            ip_address(address)
        except ValueError:
            continue
        for name in names:
            name = name.lower().rstrip(".")
            if address not in found.get(name, ()):
                found[name] = (*found.get(name, ()), address)
    return found
