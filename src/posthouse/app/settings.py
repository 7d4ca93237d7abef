"""Every setting there is: section, name, kind, default and meaning. This file is the reference of the configuration."""

# ruff: noqa: RUF009 -- setting() is field() with our metadata; its defaults are immutable

from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from posthouse.app import kinds
from posthouse.app.endpoints import Endpoint
from posthouse.app.kinds import Kind, Network

T = TypeVar("T")


def setting(kind: Kind[T], default: T, meaning: str) -> T:
    """Declare a setting. (A dataclass field to the interpreter, its value's type to readers and checkers.)"""
    return field(default=default, metadata={"kind": kind, "meaning": meaning})


def _at(*ports: int) -> tuple[Endpoint, ...]:
    return tuple(Endpoint(port=port) for port in ports)


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """[server]: what holds for all services."""

    hostname: str = setting(kinds.HOST, "", "the name this server gives itself; empty: the machine's own")
    data: Path | None = setting(kinds.PATH, Path("/var/lib/posthouse"), "the folder that holds all mail and accounts")
    user: str = setting(kinds.STRING, "posthouse", "who to become when started as root; empty: stay root")
    workers: int = setting(kinds.whole(0, 1024), 0, "worker processes; 0: one per core")
    drain: float = setting(kinds.DURATION, 30.0, "how long a stopping server lets open connections finish")


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """[tls]: the certificate of all services."""

    certificate: Path | None = setting(kinds.PATH, None, "PEM file with the chain; empty: a self-signed one is made")
    key: Path | None = setting(kinds.PATH, None, "PEM file with the private key")
    key_password: str = setting(kinds.SECRET, "", "what the key file is encrypted with; better: key_password_file")
    reload: float = setting(kinds.DURATION, 60.0, "how often to look whether the files have changed")


@dataclass(frozen=True, slots=True)
class SmtpSettings:
    """[smtp]: mail from other servers."""

    listen: tuple[Endpoint, ...] = setting(kinds.ENDPOINTS, _at(25), "where to listen")
    max_size: int = setting(kinds.SIZE, 50 << 20, "largest message, on every way in")
    max_recipients: int = setting(kinds.whole(100, 100_000), 1000, "recipients per message")  # RFC 5321 4.5.3.1.8
    max_hops: int = setting(kinds.whole(30, 1000), 100, "Received fields after which mail is taken to loop")


@dataclass(frozen=True, slots=True)
class SubmissionSettings:
    """[submission]: mail from this server's own users, who log in."""

    listen: tuple[Endpoint, ...] = setting(kinds.ENDPOINTS, _at(587), "where to listen, with STARTTLS")
    listen_tls: tuple[Endpoint, ...] = setting(kinds.ENDPOINTS, _at(465), "where to listen, with TLS from the start")


@dataclass(frozen=True, slots=True)
class LmtpSettings:
    """[lmtp]: mail handed over by another mail server on this machine or network; it must be trusted."""

    listen: tuple[Endpoint, ...] = setting(kinds.ENDPOINTS, (), "where to listen")


@dataclass(frozen=True, slots=True)
class Pop3Settings:
    """[pop3]: users collect their mail."""

    listen: tuple[Endpoint, ...] = setting(kinds.ENDPOINTS, _at(110), "where to listen, with STLS")
    listen_tls: tuple[Endpoint, ...] = setting(kinds.ENDPOINTS, _at(995), "where to listen, with TLS from the start")


@dataclass(frozen=True, slots=True)
class LoginSettings:
    """[login]: how users prove who they are."""

    plain_on_loopback: bool = setting(kinds.BOOL, False, "allow passwords without TLS from this very machine")
    remember: float = setting(kinds.DURATION, 600.0, "how long a checked password is remembered, in memory and hashed")


@dataclass(frozen=True, slots=True)
class LimitsSettings:
    """[limits]: bounds that keep one peer from harming the others. Per worker process."""

    connections: int = setting(kinds.whole(10, 1_000_000), 10_000, "open connections in all")
    per_address: int = setting(kinds.whole(1, 1_000_000), 100, "open connections of one address (IPv6: one /64)")
    spool_memory: int = setting(kinds.SIZE, 1 << 20, "a message larger than this waits in a file while it comes in")


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """[proxy]: load balancers in front that speak the PROXY protocol, v1 or v2."""

    trusted: tuple[Network, ...] = setting(kinds.NETWORKS, (), "addresses whose connections start with a PROXY header")


@dataclass(frozen=True, slots=True)
class LogSettings:
    """[log]: what is told on standard error."""

    level: str = setting(kinds.choice("debug", "info", "warning", "error"), "info", "the least weight that is told")
    format: str = setting(kinds.choice("text", "json"), "text", "one line each, for people or for machines")


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole configuration, checked."""

    server: ServerSettings = field(default_factory=ServerSettings)
    tls: TlsSettings = field(default_factory=TlsSettings)
    smtp: SmtpSettings = field(default_factory=SmtpSettings)
    submission: SubmissionSettings = field(default_factory=SubmissionSettings)
    lmtp: LmtpSettings = field(default_factory=LmtpSettings)
    pop3: Pop3Settings = field(default_factory=Pop3Settings)
    login: LoginSettings = field(default_factory=LoginSettings)
    limits: LimitsSettings = field(default_factory=LimitsSettings)
    proxy: ProxySettings = field(default_factory=ProxySettings)
    log: LogSettings = field(default_factory=LogSettings)
