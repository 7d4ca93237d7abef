"""The resolver: remembers, shares questions that are under way, and tries one server after the other."""

import asyncio
import re
from ipaddress import ip_address

import dns.rcode

from posthouse.net.dns import wire
from posthouse.net.dns.cache import Cache
from posthouse.net.dns.interface import Answer, DnsError, Found, RecordType
from posthouse.net.dns.settings import ResolverSettings
from posthouse.net.dns.transport import ask
from posthouse.net.dns.wire import ParsedResponse, ReplyRefusedError

MAX_ALIASES = 12  # CNAMEs from one answer to the next
MAX_IN_FLIGHT = 500  # sockets at once
FAILURE_SECONDS = 5.0  # RFC 9520 3.2: failures are remembered too

PLAIN_SECONDS = 600.0  # a server that was silent until it was asked without EDNS is asked so

_NO_EDNS = frozenset({dns.rcode.FORMERR, dns.rcode.NOTIMP})  # RFC 6891 7: once more without
_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*", re.DOTALL)


class DnsResolver:
    """See Resolver. Belongs to one event loop."""

    def __init__(self, settings: ResolverSettings) -> None:
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._cache = Cache(settings.cache_entries, self._loop.time)
        self._asking: dict[tuple[str, RecordType], asyncio.Task[Answer]] = {}
        self._slots = asyncio.Semaphore(MAX_IN_FLIGHT)
        self._plain: dict[tuple[str, int], float] = {}  # servers that know no EDNS, and until when that is believed
        self._trusted = {server: _is_trusted(server, settings) for server in settings.servers}

    def remembered(self, name: str, kind: RecordType) -> Answer | None:
        """See Resolver."""
        found = self._cache.get((name, kind))
        return found if isinstance(found, Answer) else None

    async def look_up(self, name: str, kind: RecordType) -> Answer:
        """See Resolver."""
        name = name.lower().rstrip(".")
        key = (name, kind)
        known = self._cache.get(key)
        if isinstance(known, Answer):
            return known
        if known is not None:
            raise DnsError(str(known))
        if not _NAME.fullmatch(name):  # no such name can be in DNS, or none that mail may use
            return Answer(Found.NO_NAME, name, (), False, 0)
        task = self._asking.get(key)
        if task is None:
            task = self._asking[key] = self._loop.create_task(self._find(name, kind))
            task.add_done_callback(lambda done: self._keep_answer(key, done))
        return await asyncio.shield(task)  # others may wait for it too

    async def close(self) -> None:
        """See Resolver."""
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _keep_answer(self, key: tuple[str, RecordType], task: "asyncio.Task[Answer]") -> None:
        del self._asking[key]
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            self._cache.put(key, task.result(), task.result().expires)
        elif isinstance(error, DnsError):
            self._cache.put(key, error, self._loop.time() + FAILURE_SECONDS)

    async def _find(self, name: str, kind: RecordType) -> Answer:
        """Ask, and go on where a CNAME leads out of the answer."""
        at, secure, ttl = name, True, wire.MAX_TTL
        try:
            for _ in range(MAX_ALIASES):
                parsed = await self._ask(at, kind)
                secure, ttl = secure and parsed.secure, min(ttl, parsed.ttl)
                if not parsed.alias:
                    return Answer(parsed.found, parsed.name, parsed.records, secure, self._loop.time() + ttl)
                at = parsed.alias
        except asyncio.CancelledError:
            raise DnsError(f"{name} {kind}: the resolver was closed") from None
        raise DnsError(f"{name} {kind}: too many CNAMEs")

    async def _ask(self, name: str, kind: RecordType) -> ParsedResponse:
        """One question, to all servers in turn. Raises DnsError."""
        reason = "no name server is known"
        silent: set[tuple[str, int]] = set()
        for turn in range(max(2, self._settings.tries)):
            for server in self._settings.servers:
                if turn >= self._settings.tries and server not in silent:
                    continue  # one turn is all that is asked for, but a silent one is asked without EDNS
                try:
                    async with self._slots:
                        return await self._ask_one(server, name, kind, silent=server in silent)
                except TimeoutError:
                    silent.add(server)
                    reason = f"{server[0]} did not answer within {self._settings.timeout:g} seconds"
                except OSError as error:
                    reason = f"{server[0]}: {error.strerror or error}"
                except ReplyRefusedError as error:
                    reason = f"{server[0]} said {error}"
        raise DnsError(f"{name} {kind}: {reason}")

    async def _ask_one(self, server: tuple[str, int], name: str, kind: RecordType, *, silent: bool) -> ParsedResponse:
        """`silent`: it did not answer this question before. Some drop what has EDNS, and so do boxes before them."""
        edns = not silent and self._plain.get(server, 0.0) <= self._loop.time()
        response = await ask(server, name, kind, self._settings.timeout, edns=edns)
        if edns and response.rcode() in _NO_EDNS:
            response = await ask(server, name, kind, self._settings.timeout, edns=False)
        elif silent:
            self._plain[server] = self._loop.time() + PLAIN_SECONDS  # so that not every question waits for it
        parsed = wire.understand(response, name, kind)
        if parsed.secure and not self._trusted[server]:
            return ParsedResponse(parsed.found, parsed.name, parsed.records, False, parsed.ttl, parsed.alias)
        return parsed


def _is_trusted(server: tuple[str, int], settings: ResolverSettings) -> bool:
    """RFC 6840 5.7: the AD bit says something only when nobody on the way could have set it."""
    if settings.trust_ad is not None:
        return settings.trust_ad
    return ip_address(server[0].partition("%")[0]).is_loopback
