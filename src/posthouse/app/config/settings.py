"""Every setting there is: section, name, kind, default and meaning. This file is the reference of the configuration."""

# ruff: noqa: RUF009 -- setting() is field() with our metadata; its defaults are immutable

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from posthouse.app.config import kinds
from posthouse.app.config.endpoints import Endpoint
from posthouse.app.config.kinds import Kind
from posthouse.message.ip import Network

T = TypeVar("T")


def setting(kind: Kind[T], default: T, meaning: str) -> T:
    """Declare a setting. (A dataclass field to the interpreter, its value's type to readers and checkers.)"""
    return field(default=default, metadata={"kind": kind, "meaning": meaning})


def _at(*ports: int) -> tuple[Endpoint, ...]:
    return tuple(Endpoint(port=port) for port in ports)


@dataclass(frozen=True, slots=True)
class ServerSection:
    """[server]: what holds for all services."""

    hostname: str = setting(kinds.HOST, "", "the name this server gives itself; empty: the machine's own")
    data: Path | None = setting(kinds.PATH, Path("/var/lib/posthouse"), "the folder that holds all mail and accounts")
    user: str = setting(kinds.STRING, "posthouse", "who to become when started as root; empty: stay root")
    workers: int = setting(kinds.whole(0, 1024), 0, "worker processes; 0: one per core")
    drain: float = setting(kinds.DURATION, 30.0, "how long a stopping server lets open connections finish")


@dataclass(frozen=True, slots=True)
class TlsSection:
    """[tls]: the certificate of all services."""

    certificate: Path | None = setting(kinds.PATH, None, "PEM file with the chain; empty: a self-signed one is made")
    key: Path | None = setting(kinds.PATH, None, "PEM file with the private key")
    key_password: str = setting(kinds.SECRET, "", "what the key file is encrypted with; better: key_password_file")
    reload: float = setting(kinds.duration(1.0), 60.0, "how often to look whether the files have changed")


@dataclass(frozen=True, slots=True)
class SmtpSection:
    """[smtp]: mail from other servers."""

    listen: tuple[Endpoint, ...] = setting(kinds.ENDPOINTS, _at(25), "where to listen")
    # RFC 5321 4.5.3.1.7: at least 64K octets
    max_size: int = setting(kinds.size(64 << 10), 50 << 20, "largest message, on every way in")
    max_recipients: int = setting(kinds.whole(100, 100_000), 1000, "recipients per message")  # RFC 5321 4.5.3.1.8
    max_hops: int = setting(kinds.whole(30, 1000), 100, "Received fields after which mail is taken to loop")
    relay_from: tuple[Network, ...] = setting(
        kinds.NETWORKS, (), "networks whose machines may send to anyone without a login"
    )
    bare_lf_from: tuple[Network, ...] = setting(
        kinds.NETWORKS, (), "networks of old devices that end the lines of a message with LF alone"
    )


@dataclass(frozen=True, slots=True)
class SubmissionSection:
    """[submission]: mail from this server's own users, who log in."""

    listen: tuple[Endpoint, ...] = setting(kinds.ENDPOINTS, _at(587), "where to listen, with STARTTLS")
    listen_tls: tuple[Endpoint, ...] = setting(kinds.ENDPOINTS, _at(465), "where to listen, with TLS from the start")
    messages: int = setting(kinds.whole(0, 1_000_000), 1000, "messages of one account in 24 hours; 0: no bound")
    new_recipients: int = setting(
        kinds.whole(0, 1_000_000), 200, "recipients in 24 hours that an account never wrote to before; 0: no bound"
    )
    sent_copy: bool = setting(kinds.BOOL, False, "keep a copy of what an account sends in its mailbox Sent")


@dataclass(frozen=True, slots=True)
class LmtpSection:
    """[lmtp]: mail handed over by another mail server on this machine or network; it must be trusted."""

    listen: tuple[Endpoint, ...] = setting(kinds.ENDPOINTS, (), "where to listen")


@dataclass(frozen=True, slots=True)
class Pop3Section:
    """[pop3]: users collect their mail."""

    listen: tuple[Endpoint, ...] = setting(kinds.ENDPOINTS, _at(110), "where to listen, with STLS")
    listen_tls: tuple[Endpoint, ...] = setting(kinds.ENDPOINTS, _at(995), "where to listen, with TLS from the start")


@dataclass(frozen=True, slots=True)
class ImapSection:
    """[imap]: users read the mail that stays on the server, from all their devices."""

    listen: tuple[Endpoint, ...] = setting(kinds.ENDPOINTS, _at(143), "where to listen, with STARTTLS")
    listen_tls: tuple[Endpoint, ...] = setting(kinds.ENDPOINTS, _at(993), "where to listen, with TLS from the start")
    idle_notify: float = setting(
        kinds.DURATION, 120.0, 'how often to say "Still here" to clients that wait in IDLE; 0s: never'
    )


@dataclass(frozen=True, slots=True)
class LoginSection:
    """[login]: how users prove who they are."""

    plain_on_loopback: bool = setting(kinds.BOOL, False, "allow passwords without TLS from this very machine")
    remember: float = setting(
        kinds.DURATION, 86_400.0, "how long a checked password is remembered, as a digest whose key is in memory alone"
    )


@dataclass(frozen=True, slots=True)
class LimitsSection:
    """[limits]: bounds that keep one peer from harming the others. Per worker process."""

    connections: int = setting(kinds.whole(10, 1_000_000), 10_000, "open connections in all")
    per_address: int = setting(kinds.whole(1, 1_000_000), 100, "open connections of one address (IPv6: one /64)")
    unknown_recipients: int = setting(
        kinds.whole(1, 100_000), 20, "recipients that do not exist, after which a stranger's connection is closed"
    )
    keepalive: float = setting(
        kinds.DURATION, 120.0, "silence after which TCP probes whether a peer is still there; 0s: never"
    )
    spool_memory: int = setting(kinds.SIZE, 1 << 20, "a message larger than this waits in a file while it comes in")


@dataclass(frozen=True, slots=True)
class ProxySection:
    """[proxy]: load balancers in front that speak the PROXY protocol, v1 or v2."""

    trusted: tuple[Network, ...] = setting(kinds.NETWORKS, (), "addresses whose connections start with a PROXY header")


@dataclass(frozen=True, slots=True)
class HistorySection:
    """[history]: what was delivered, for `posthouse mail trace`, whether or not it is still there."""

    days: int = setting(kinds.whole(0, 3650), 30, "how long deliveries are remembered; 0: none")
    size: int = setting(kinds.SIZE, 256 << 20, "how much room that may take, the oldest goes first; 0: no bound")


@dataclass(frozen=True, slots=True)
class LogSection:
    """[log]: what is written to standard error."""

    level: str = setting(kinds.choice("debug", "info", "warning", "error"), "info", "the least weight that is written")
    format: str = setting(kinds.choice("text", "json"), "text", "one line each, for people or for machines")


@dataclass(frozen=True, slots=True)
class DnsSection:
    """[dns]: whom to ask for names."""

    servers: tuple[Endpoint, ...] = setting(kinds.NAME_SERVERS, (), "name servers; none: those of /etc/resolv.conf")
    timeout: float = setting(kinds.duration(0.1), 3.0, "how long to wait for one answer before the next try")
    trust_ad: bool = setting(
        kinds.BOOL, False, "believe these servers about DNSSEC; one on this very machine is always believed"
    )


@dataclass(frozen=True, slots=True)
class OutgoingSection:
    """[outgoing]: mail to other servers."""

    enabled: bool = setting(kinds.BOOL, True, "send to other servers at all")
    hello: str = setting(kinds.HOST, "", "what this server calls itself there; empty: server.hostname")
    port: int = setting(kinds.whole(1, 65535), 25, "where other servers listen")
    source_ipv4: str = setting(kinds.ADDRESS, "", "our address for IPv4; empty: as the system chooses")
    source_ipv6: str = setting(kinds.ADDRESS, "", "our address for IPv6; empty: as the system chooses")
    ipv6: bool = setting(kinds.BOOL, True, "send over IPv6 too; it needs reverse DNS as IPv4 does")
    connections: int = setting(kinds.whole(1, 1000), 20, "at once to one destination, per worker process")
    per_minute: int = setting(kinds.whole(0, 1_000_000), 0, "messages to one destination, per worker; 0: no bound")
    first_retry: float = setting(kinds.duration(1.0), 300.0, "how soon to try again; later tries come ever slower")
    delay_warning: float = setting(kinds.DURATION, 4 * 3600.0, "when to tell the sender of a delay; 0s: never")
    expire: float = setting(kinds.DURATION, 5 * 86400.0, "when to give up and tell the sender")
    mta_sts: bool = setting(kinds.BOOL, True, "ask for and keep to the TLS policies of domains (RFC 8461)")
    dane: bool = setting(kinds.BOOL, True, "keep to the certificates that DNSSEC vouches for (RFC 7672)")
    tls_memory: float = setting(
        kinds.DURATION, 30 * 86400.0, "how long a host that had a valid certificate must have one; 0s: no matter"
    )
    ca_file: Path | None = setting(kinds.PATH, None, "PEM file of trusted authorities; empty: the system's")
    allow_private: bool = setting(kinds.BOOL, False, "connect to private addresses that DNS gives; for closed networks")


@dataclass(frozen=True, slots=True)
class RouteSection:
    """[route.NAME]: another way out, such as a provider's relay. The first route that fits a recipient is taken."""

    to: tuple[str, ...] = setting(kinds.PATTERNS, ("*",), 'recipients: "example.org", ".example.org", "a@b.org", "*"')
    sender: tuple[str, ...] = setting(kinds.PATTERNS, ("*",), "senders, written as recipients are")
    hosts: tuple[Endpoint, ...] = setting(kinds.HOSTS, (), "where to send it, in order; none: as DNS says")
    tls: str = setting(
        kinds.choice("implicit", "verified", "encrypted", "opportunistic", "none"),
        "verified",
        "implicit: TLS first (port 465); verified and encrypted: by STARTTLS, with or without a valid certificate",
    )
    login: str = setting(kinds.STRING, "", "user name there")
    password: str = setting(kinds.SECRET, "", "password there; better: password_file")
    source: str = setting(kinds.ADDRESS, "", "our address; empty: as the system chooses")
    connections: int = setting(kinds.whole(0, 1000), 0, "at once, per worker process; 0: outgoing.connections")
    per_minute: int = setting(kinds.whole(0, 1_000_000), 0, "messages a minute, per worker; 0: no bound")


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole configuration, checked."""

    server: ServerSection = field(default_factory=ServerSection)
    tls: TlsSection = field(default_factory=TlsSection)
    smtp: SmtpSection = field(default_factory=SmtpSection)
    submission: SubmissionSection = field(default_factory=SubmissionSection)
    lmtp: LmtpSection = field(default_factory=LmtpSection)
    pop3: Pop3Section = field(default_factory=Pop3Section)
    imap: ImapSection = field(default_factory=ImapSection)
    login: LoginSection = field(default_factory=LoginSection)
    limits: LimitsSection = field(default_factory=LimitsSection)
    proxy: ProxySection = field(default_factory=ProxySection)
    dns: DnsSection = field(default_factory=DnsSection)
    outgoing: OutgoingSection = field(default_factory=OutgoingSection)
    history: HistorySection = field(default_factory=HistorySection)
    log: LogSection = field(default_factory=LogSection)
    route: Mapping[str, RouteSection] = field(default_factory=dict, metadata={"each": RouteSection})
