"""Whom this machine asks for names: /etc/resolv.conf (resolv.conf(5))."""

from ipaddress import ip_address
from pathlib import Path

from posthouse.net.dns.settings import ResolverSettings

_PORT = 53
_MAX_SERVERS = 3


def system_settings(path: Path = Path("/etc/resolv.conf")) -> ResolverSettings:
    """What the file says; this machine itself where it says nothing or cannot be read."""
    try:
        text = path.read_text(errors="replace")
    except OSError:
        text = ""
    servers: list[tuple[str, int]] = []
    timeout, tries, trust = 3.0, 3, None
    for line in text.splitlines():
        words = line.split("#")[0].split(";")[0].split()
        if len(words) > 1 and words[0] == "nameserver" and _is_address(words[1]):
            servers.append((words[1], _PORT))
        if words[:1] == ["options"]:
            for option in words[1:]:
                name, _, value = option.partition(":")
                number = int(value) if value.isdecimal() and len(value) < 4 else 0
                timeout = min(float(number), 30.0) if name == "timeout" and number else timeout
                tries = min(number, 5) if name == "attempts" and number else tries
                trust = True if name == "trust-ad" else trust
    return ResolverSettings(tuple(servers[:_MAX_SERVERS]) or (("127.0.0.1", _PORT),), timeout, tries, trust)


def _is_address(text: str) -> bool:
    try:
        ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return True
