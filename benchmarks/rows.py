"""The rows of the table: what is measured, in which unit, and which way is better."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from benchmarks import imap_load, imap_reading, load, memory, relay
from benchmarks.load import Collection, Mail
from benchmarks.target import USERS, Target

KIB = 1024


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    title: str
    unit: str
    higher_is_better: bool = True


ROWS = {
    "in-4k-1": Row("SMTP in, 4 KiB, 1 connection, delivered", "msg/s"),
    "in-4k-20": Row("SMTP in, 4 KiB, 20 connections, delivered", "msg/s"),
    "in-4k-20-accepted": Row("the same until accepted", "msg/s"),
    "in-4k-100": Row("SMTP in, 4 KiB, 100 connections, delivered", "msg/s"),
    "in-4k-each": Row("SMTP in, 4 KiB, a connection each, 20 at a time, delivered", "msg/s"),
    "in-100k-20": Row("SMTP in, 100 KiB, 20 connections, delivered", "msg/s"),
    "login-first": Row("the first POP3 login of each of 200 users, 20 at a time", "sessions/s"),
    "login-restarted": Row("the same after a restart", "sessions/s"),
    "login-again": Row("the same, again", "sessions/s"),
    "pop3-login": Row("POP3 login, STAT, QUIT, 20 at a time", "sessions/s"),
    "pop3-all": Row("POP3 login, UIDL, RETR 25 x 4 KiB, QUIT, 20 at a time", "msg/s"),
    "pop3-dele": Row("the same with DELE", "msg/s"),
    "pop3-100k": Row("POP3 RETR 5 x 100 KiB, 20 at a time", "MB/s"),
    "wait-p50": Row("from sending until a POP3 login shows it, median", "ms", False),
    "wait-p99": Row("the same, 99th of 100", "ms", False),
    "relay-live": Row("relay to a sink, 4 KiB, 20 connections, live", "msg/s"),
    "relay-drain": Row("the same, draining a queue that waited", "msg/s"),
    "imap-append-1": Row("IMAP APPEND, 4 KiB, 1 connection", "msg/s"),
    "imap-append-20": Row("IMAP APPEND, 4 KiB, 20 connections", "msg/s"),
    "imap-login": Row("IMAP login, SELECT of 1,000, LOGOUT, 20 at a time", "sessions/s"),
    "imap-select-first": Row("SELECT of 1,000, first time", "ms", False),
    "imap-select": Row("the same, again", "ms", False),
    "imap-envelope-cold": Row("FETCH 1:* (ENVELOPE FLAGS) of 1,000, first time", "ms", False),
    "imap-envelope": Row("the same, again", "ms", False),
    "imap-flags": Row("FETCH 1:* FLAGS of 1,000", "ms", False),
    "imap-bodies": Row("UID FETCH 1:* BODY.PEEK[] of 1,000 x 4 KiB", "msg/s"),
    "imap-single": Row("FETCH n BODY.PEEK[], 4 KiB, one by one", "msg/s"),
    "imap-sync": Row("a client's first sync of 1,000 x 4 KiB, bodies by 50", "msg/s"),
    "imap-store-all": Row("STORE 1:* +FLAGS or -FLAGS (\\Seen) of 1,000", "ms", False),
    "imap-store-single": Row("STORE n +FLAGS (\\Flagged), one by one", "cmd/s"),
    "imap-search-text": Row("SEARCH TEXT over 1,000 x 4 KiB", "ms", False),
    "imap-search-subject": Row("SEARCH SUBJECT over 1,000", "ms", False),
    "imap-noop": Row("IMAP NOOP", "cmd/s"),
    "imap-push-p50": Row("from sending until IMAP IDLE shows it, median", "ms", False),
    "imap-push-p99": Row("the same, 99th of 100", "ms", False),
    "imap-idle-memory": Row("memory for each of 1,000 idle IMAP connections", "KiB", False),
    "imap-idle-memory-tls": Row("the same with TLS", "KiB", False),
    "memory": Row("memory of the idle server", "MiB", False),
    "start": Row("start until every port greets", "ms", False),
}

Results = dict[str, float]


@dataclass(frozen=True)
class Scale:
    """How much work a run is. `quick` is for a look, not for figures to quote."""

    quick: bool = False

    def of(self, whole: int) -> int:
        """A tenth of it for quick runs."""
        return max(USERS, whole // 10) if self.quick else whole


def _smtp(octets: int, connections: int, messages: int, *, each: bool = False) -> Callable[[Target, Scale], Results]:
    def run(target: Target, scale: Scale) -> Results:
        mail = Mail(octets, connections, scale.of(messages), one_each=each)
        asyncio.run(load.empty(target))
        accepted, delivered = asyncio.run(load.deliver(target, mail))
        return {"accepted": mail.messages / accepted, "delivered": mail.messages / delivered}

    return run


def _in(name: str, run: Callable[[Target, Scale], Results]) -> Callable[[Target, Scale], Results]:
    def named(target: Target, scale: Scale) -> Results:
        found = run(target, scale)
        results = {name: found["delivered"]}
        if f"{name}-accepted" in ROWS:
            results[f"{name}-accepted"] = found["accepted"]
        return results

    return named


def _pop3_small(target: Target, scale: Scale) -> Results:
    """One fill serves three rows; the one that deletes comes last."""
    asyncio.run(load.empty(target))
    asyncio.run(load.deliver(target, Mail(4 * KIB, 20, scale.of(25 * USERS))))
    logins = Collection(scale.of(5 * USERS), retrieve=False)
    took, _, _ = asyncio.run(load.collect(target, logins))
    results = {"pop3-login": logins.sessions / took}
    took, messages, _ = asyncio.run(load.collect(target, Collection(scale.of(2 * USERS))))
    results["pop3-all"] = messages / took
    took, messages, _ = asyncio.run(load.collect(target, Collection(USERS, delete=True)))
    results["pop3-dele"] = messages / took
    return results


def _first_logins(target: Target, scale: Scale) -> Results:
    """What a server pays for passwords that it has not seen; then what it still knows after a restart."""
    if not target.forget_logins():
        return {}
    results = {"login-first": _logins_of_all(target)}
    target.restart()
    results["login-restarted"] = _logins_of_all(target)
    results["login-again"] = _logins_of_all(target)
    return results


def _logins_of_all(target: Target) -> float:
    """Sessions a second: one of each user."""
    took, _, _ = asyncio.run(load.collect(target, Collection(USERS, retrieve=False)))
    return USERS / took


def _pop3_large(target: Target, scale: Scale) -> Results:
    asyncio.run(load.empty(target))
    asyncio.run(load.deliver(target, Mail(100 * KIB, 20, scale.of(5 * USERS))))
    took, _, octets = asyncio.run(load.collect(target, Collection(scale.of(2 * USERS))))
    return {"pop3-100k": octets / took / 1e6}


def _waits(target: Target, scale: Scale) -> Results:
    asyncio.run(load.empty(target))
    found = sorted(asyncio.run(load.waits(target, 100 if scale.quick else 300, 4 * KIB)))
    return {"wait-p50": found[len(found) // 2], "wait-p99": found[len(found) * 99 // 100]}


def _start(target: Target, scale: Scale) -> Results:
    """Start time, and the memory held a moment later by a server that nobody has talked to but to hear it greet."""
    took = target.restart()
    results = {"start": took * 1000} if took is not None else {}
    if took is not None and (roots := target.roots()):
        time.sleep(0.5 if scale.quick else 3)
        results["memory"] = memory.held(roots)
    # Both kinds of server pay for the first login of each user: see login-first. The others are about those after it.
    asyncio.run(load.counts(target))
    return results


def _relay(target: Target, scale: Scale) -> Results:
    """Nothing where a target sends mail nowhere."""
    if not target.sink:
        return {}
    wanted = Mail(4 * KIB, 20, scale.of(3000), domain=relay.SINK_DOMAIN)
    waiting = replace(wanted, messages=scale.of(8000))
    return {"relay-live": relay.live(target, wanted), "relay-drain": relay.drain(target, waiting)}


def _needs_imap(run: Callable[[Target, Scale], Results]) -> Callable[[Target, Scale], Results]:
    """Nothing where a target has no IMAP."""
    return lambda target, scale: run(target, scale) if target.imap else {}


@_needs_imap
def _imap_append(target: Target, scale: Scale) -> Results:
    alone = imap_load.append(target, 4 * KIB, scale.of(1000))
    return {
        "imap-append-1": alone,
        "imap-append-20": asyncio.run(imap_load.append_wide(target, 4 * KIB, scale.of(4000), 20)),
    }


@_needs_imap
def _imap_login(target: Target, scale: Scale) -> Results:
    imap_load.fill_readers(target)
    return {"imap-login": asyncio.run(imap_load.logins(target, scale.of(1000), 20))}


@_needs_imap
def _imap_read(target: Target, _: Scale) -> Results:
    return imap_reading.read(target, 1000, 4 * KIB)


@_needs_imap
def _imap_push(target: Target, scale: Scale) -> Results:
    asyncio.run(load.empty(target))
    found = sorted(asyncio.run(imap_load.pushes(target, 20 if scale.quick else 200, 4 * KIB)))
    return {"imap-push-p50": found[len(found) // 2], "imap-push-p99": found[len(found) * 99 // 100]}


@_needs_imap
def _imap_idle_memory(target: Target, scale: Scale) -> Results:
    asyncio.run(load.empty(target))
    connections, settle = scale.of(1000), 0.5 if scale.quick else 3.0
    results = {"imap-idle-memory": imap_load.idle_memory(target, connections, settle)}
    if target.imaps:
        results["imap-idle-memory-tls"] = imap_load.idle_memory(target, connections, settle, tls=True)
    return {name: value for name, value in results.items() if value is not None}


# In this order; each gives one or more rows.
SCENARIOS: dict[str, tuple[tuple[str, ...], Callable[[Target, Scale], Results]]] = {
    "start": (("start", "memory"), _start),
    "login": (("login-first", "login-restarted", "login-again"), _first_logins),
    "in-4k-1": (("in-4k-1",), _in("in-4k-1", _smtp(4 * KIB, 1, 1000))),
    "in-4k-20": (("in-4k-20", "in-4k-20-accepted"), _in("in-4k-20", _smtp(4 * KIB, 20, 4000))),
    "in-4k-100": (("in-4k-100",), _in("in-4k-100", _smtp(4 * KIB, 100, 4000))),
    "in-4k-each": (("in-4k-each",), _in("in-4k-each", _smtp(4 * KIB, 20, 2000, each=True))),
    "in-100k-20": (("in-100k-20",), _in("in-100k-20", _smtp(100 * KIB, 20, 1000))),
    "pop3": (("pop3-login", "pop3-all", "pop3-dele"), _pop3_small),
    "pop3-100k": (("pop3-100k",), _pop3_large),
    "relay": (("relay-live", "relay-drain"), _relay),
    "wait": (("wait-p50", "wait-p99"), _waits),
    "imap-append": (("imap-append-1", "imap-append-20"), _imap_append),
    "imap-login": (("imap-login",), _imap_login),
    "imap-read": (
        (
            *("imap-select-first", "imap-select", "imap-envelope-cold", "imap-envelope", "imap-flags", "imap-bodies"),
            *("imap-single", "imap-sync", "imap-store-all", "imap-store-single", "imap-search-text"),
            *("imap-search-subject", "imap-noop"),
        ),
        _imap_read,
    ),
    "imap-push": (("imap-push-p50", "imap-push-p99"), _imap_push),
    "imap-idle-memory": (("imap-idle-memory", "imap-idle-memory-tls"), _imap_idle_memory),
}
