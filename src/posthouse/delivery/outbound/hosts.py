"""Which hosts take the mail of a domain, in which order, at which addresses (RFC 5321 5.1)."""

import asyncio
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import groupby, zip_longest

from posthouse.message.reply import Reply
from posthouse.net.dns.hosts_file import HostsFile
from posthouse.net.dns.interface import Answer, DnsError, Found, Mx, RecordType, Resolver
from posthouse.net.may_reach import may_reach
from posthouse.queue.outcome import Permanent, Transient

MAX_HOSTS = 20  # of one domain that are looked at
MAX_ADDRESSES = 10  # of one host


@dataclass(frozen=True, slots=True)
class Host:
    """A host that takes the mail. `secure`: DNSSEC vouches for this choice (RFC 7672 2.2.1).

    `configured`: the operator has named it, so that the names of this very machine (/etc/hosts) count.
    """

    name: str
    port: int = 25
    secure: bool = False
    configured: bool = False


@dataclass(frozen=True, slots=True)
class HostAddresses:
    """Where a host is. `secure` as above, of the addresses."""

    found: tuple[str, ...]
    secure: bool = False


class NoHostError(Exception):
    """There is nowhere to go; `outcome` says why, and whether to try again."""

    def __init__(self, outcome: Transient | Permanent) -> None:
        super().__init__(outcome.reply.text)
        self.outcome = outcome


class Hosts:
    """Finds hosts by DNS. `own` is our host name: a list that has us in it is cut off there (RFC 5321 5.1)."""

    def __init__(self, resolver: Resolver, own: str, *, ipv6: bool = True, hosts_file: HostsFile | None = None) -> None:
        self._resolver = resolver
        self._hosts_file = hosts_file or HostsFile()
        self._own = own.lower().rstrip(".")
        self._ipv6 = ipv6
        self._random = random.SystemRandom()

    async def of_domain(self, domain: str) -> list[Host]:
        """The hosts of a domain (A-labels), best first, equals in random order. Raises NoHostError."""
        if domain.startswith("["):
            return [Host(_literal(domain))]
        try:
            answer = await self._resolver.look_up(domain, RecordType.MX)
        except DnsError as error:
            raise NoHostError(_later(f"The name servers of {domain} do not answer: {error}")) from error
        records = [record for record in answer.records if isinstance(record, Mx)]
        if answer.found is Found.NO_NAME:
            raise NoHostError(_never(550, "5.1.2", f"The domain {domain} does not exist"))
        if not records:
            # RFC 5321 5.1: without MX records the domain itself is the host.
            return [Host(answer.name or domain, secure=answer.secure)]
        if all(not record.host for record in records):
            # RFC 7505 4.1, with the code of RFC 7504 4
            raise NoHostError(_never(556, "5.1.10", f"The domain {domain} does not take mail (it says so in DNS)"))
        return self._ordered(domain, records, answer)

    def _ordered(self, domain: str, records: Sequence[Mx], answer: Answer) -> list[Host]:
        usable = sorted((record for record in records if record.host), key=lambda record: record.preference)
        own = min((record.preference for record in usable if self._is_own(record.host)), default=None)
        if own is not None:
            usable = [record for record in usable if record.preference < own]
        if not usable:
            raise NoHostError(leads_back(domain))
        hosts: list[Host] = []
        for _, equals in groupby(usable, key=lambda record: record.preference):
            shuffled = list(equals)
            self._random.shuffle(shuffled)
            hosts += [Host(record.host, secure=answer.secure) for record in shuffled]
        return hosts[:MAX_HOSTS]

    def _is_own(self, host: str) -> bool:
        """RFC 6761 6.3: localhost and all below it are this machine."""
        return host in (self._own, "localhost", "localhost.localdomain") or host.endswith(".localhost")

    async def addresses(self, host: Host) -> HostAddresses:
        """Where a host is, both families alternately. Raises NoHostError."""
        if _is_address(host.name):
            return HostAddresses((host.name,))
        if host.configured and (here := self._hosts_file.addresses(host.name)):
            return HostAddresses(tuple(address for address in here if self._ipv6 or ":" not in address) or here)
        kinds = (RecordType.AAAA, RecordType.A) if self._ipv6 else (RecordType.A,)
        answers = await asyncio.gather(
            *(self._resolver.look_up(host.name, kind) for kind in kinds), return_exceptions=True
        )
        failures = [answer for answer in answers if isinstance(answer, BaseException)]
        known = [answer for answer in answers if isinstance(answer, Answer)]
        for failure in failures:
            if not isinstance(failure, DnsError):
                raise failure
        found = list(_in_turns([[str(record) for record in answer.records] for answer in known]))
        if found:
            # Of those that were found: a family whose answer somebody holds back must not switch DANE off.
            secure = all(answer.secure for answer in known if answer.records)
            return HostAddresses(tuple(found[:MAX_ADDRESSES]), secure)
        if failures:
            raise NoHostError(_later(f"The address of {host.name} cannot be found out now: {failures[0]}"))
        raise NoHostError(_never(550, "5.4.4", f"The mail server {host.name} has no address"))


def _in_turns(families: Sequence[Sequence[str]]) -> Iterator[str]:
    """One of each family after the other: a broken IPv6 must not cost more than one attempt (RFC 8305 4)."""
    for group in zip_longest(*families):
        yield from (address for address in group if address)


def _literal(domain: str) -> str:
    """The address in an address literal (RFC 5321 4.1.3)."""
    inner = domain[1:-1].removeprefix("IPv6:").removeprefix("ipv6:")
    if not _is_address(inner):
        raise NoHostError(_never(550, "5.1.2", f"{domain} is not an address that mail can be sent to"))
    return inner


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def is_forbidden(address: str, *, private: bool) -> bool:
    """Whether an address that DNS gave must not be connected to. `private`: those of private networks are fine.

    Else the owner of a domain could have us speak to the machines behind our firewall.
    """
    return not may_reach(address, private=private)


def is_here(address: str) -> bool:
    """Whether an address leads back to the machine that asks: 127.0.0.1, ::1, 0.0.0.0 and the like."""
    ip = ip_address(address)
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return ip.is_loopback or ip.is_unspecified


def leads_back(domain: str) -> Permanent:
    """The outcome of mail for a domain whose hosts are this one: it would be our own, if we knew the domain."""
    return _never(554, "5.4.6", f"Mail for {domain} loops back to this server, which does not serve that domain")


def _later(text: str) -> Transient:
    return Transient(Reply(451, "4.4.3", text), spoken=False)


def _never(code: int, status: str, text: str) -> Permanent:
    return Permanent(Reply(code, status, text), spoken=False)
