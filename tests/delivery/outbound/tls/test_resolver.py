"""How safe a connection must be, by DNS, by policies from a real web server, and by memory in a real file."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs

from posthouse.delivery.outbound.hosts import Host, HostAddresses
from posthouse.delivery.outbound.tls import results
from posthouse.delivery.outbound.tls.policy import TlsRequirement, UnsafeError
from posthouse.delivery.outbound.tls.resolver import TlsPolicyResolver, TlsPolicySettings
from posthouse.net.dns.interface import RecordType, Tlsa
from posthouse.net.fetch import Fetcher
from posthouse.net.verify import Authorities
from posthouse.queue.destinations import TlsResult
from posthouse.queue.sqlite.destinations import SqliteDestinations
from tests.answers import Answers
from tests.certificates import NOW, Issued, authority, leaf
from tests.net.test_fetch import OK, saying, serving

DOMAIN, MX = "x.test", "mx.x.test"
ROOT = authority()
GOOD = leaf(ROOT, MX)
OTHER = leaf(ROOT, "other.test")
STALE = leaf(ROOT, MX, days=(-9, -1))
OWN = leaf(None, MX)
WEB = leaf(ROOT, f"mta-sts.{DOMAIN}")
HERE = HostAddresses(("192.0.2.1",), secure=True)
HOST = Host(MX, secure=True)
DAY = 86400.0
TXT = (f"_mta-sts.{DOMAIN}", RecordType.TXT)
TLSA = (f"_25._tcp.{MX}", RecordType.TLSA)
MATCHING = Tlsa(3, 1, 1, hashlib.sha256(OWN.public).digest())


def policy(mode: str, mx: str = MX, age: int = 604800) -> bytes:
    return f"version: STSv1\r\nmode: {mode}\r\nmx: {mx}\r\nmax_age: {age}\r\n".encode()


@dataclass
class Fixture:
    folder: Path
    memory: SqliteDestinations
    resolver: Answers = field(default_factory=lambda: Answers({}))
    settings: TlsPolicySettings = field(default_factory=TlsPolicySettings)
    port: int = 1  # nothing listens there
    now: float = NOW.timestamp()

    def security(self) -> TlsPolicyResolver:
        """As a process has it that has just started."""
        roots = self.folder / "authorities.pem"
        roots.write_bytes(ROOT.pem)
        fetcher = Fetcher(self.resolver, authorities=roots, loopback=True, port=self.port)
        log = structlog.get_logger()
        return TlsPolicyResolver(
            self.resolver, self.memory, fetcher, Authorities(roots), self.settings, log, clock=lambda: self.now
        )

    @asynccontextmanager
    async def publishing(self, text: bytes, *, id_: str = "1", shown: Issued = WEB) -> AsyncIterator[None]:
        """The domain has a policy meanwhile."""
        async with self.web(OK + b"\r\n" + text, shown):
            self.resolver.records[TXT] = (f"v=STSv1; id={id_};".encode(),)
            yield

    @asynccontextmanager
    async def web(self, said: bytes, shown: Issued = WEB) -> AsyncIterator[None]:
        (self.folder / "web").mkdir(exist_ok=True)
        async with serving(self.folder / "web", saying(said), shown) as self.port:
            self.resolver.records[f"mta-sts.{DOMAIN}", RecordType.A] = ("127.0.0.1",)
            yield

    def counted(self, safety: TlsPolicyResolver) -> dict[tuple[str, str, str], int]:
        """By policy, host and result."""
        safety.flush()
        found = self.memory.results(int(self.now) // 86400)
        assert all(each.domain == DOMAIN for each in found)
        return {(each.policy, each.host, each.result): each.count for each in found}

    @property
    def lookups(self) -> int:
        return self.resolver.asked.count((f"mta-sts.{DOMAIN}", RecordType.A))


@pytest.fixture(name="house")
def a_house(tmp_path: Path) -> Iterator[Fixture]:
    with closing(SqliteDestinations(tmp_path / "destinations.db")) as memory:
        yield Fixture(tmp_path, memory)


async def asked(
    safety: TlsPolicyResolver, host: Host = HOST, addresses: HostAddresses = HERE, waited: float = 0
) -> TlsRequirement:
    return await safety.for_host(DOMAIN, host, addresses, waited)


def judged(safety: TlsPolicyResolver, demand: TlsRequirement, *chain: Issued) -> str:
    return safety.check_certificate(DOMAIN, MX, demand, [each.der for each in chain])


# Nothing known.


async def test_nothing_known_is_opportunistic(house: Fixture) -> None:
    safety = house.security()
    demand = await asked(safety)
    assert (demand.required, demand.wanted, demand.implicit) == (False, True, False)
    assert judged(safety, demand, OWN) == ""
    assert judged(safety, demand) == ""
    assert judged(safety, demand, GOOD) == "verified"
    safety.report_failure(DOMAIN, MX, demand, "starttls-not-supported")
    assert house.counted(safety) == {
        ("no-policy-found", MX, ""): 3,
        ("no-policy-found", MX, "starttls-not-supported"): 1,
    }


@pytest.mark.parametrize(
    ("tls", "required", "wanted", "implicit", "proof"),
    [
        ("none", False, False, False, False),
        ("opportunistic", False, True, False, False),
        ("encrypted", True, True, False, False),
        ("verified", True, True, False, True),
        ("implicit", True, True, True, True),
    ],
)
async def test_routes(house: Fixture, tls: str, required: bool, wanted: bool, implicit: bool, proof: bool) -> None:
    safety = house.security()
    demand = safety.for_route(tls, MX)
    assert (demand.required, demand.wanted, demand.implicit) == (required, wanted, implicit)
    assert safety.check_certificate("", MX, demand, [GOOD.der]) == "verified"
    if proof:
        with pytest.raises(UnsafeError, match="the route asks for"):
            safety.check_certificate("", MX, demand, [OWN.der])
    else:
        assert safety.check_certificate("", MX, demand, [OWN.der]) == ""
    assert house.counted(safety) == {}, "routes are nobody's business but ours"


# Memory.


async def test_a_host_that_was_good_must_stay_so(house: Fixture) -> None:
    safety = house.security()
    assert judged(safety, await asked(safety), GOOD) == "verified"
    safety = house.security()
    demand = await asked(safety)
    assert demand.required
    for bad, why in ((OWN, "not valid"), (OTHER, "not for"), (STALE, "expired")):
        with pytest.raises(UnsafeError, match=why):
            judged(safety, demand, bad)
    assert judged(safety, demand, GOOD) == "verified"
    assert house.counted(safety) == {
        ("no-policy-found", MX, ""): 1,
        ("no-policy-found", MX, "certificate-not-trusted"): 1,
        ("no-policy-found", MX, "certificate-host-mismatch"): 1,
        ("no-policy-found", MX, "certificate-expired"): 1,
    }


async def test_memory_is_of_one_domain_and_host(house: Fixture) -> None:
    safety = house.security()
    judged(safety, await asked(safety), GOOD)
    assert not (await asked(safety, Host("mx2.x.test"))).required
    assert not (await safety.for_host("y.test", HOST, HERE, 0)).required


async def test_a_bad_certificate_is_not_remembered(house: Fixture) -> None:
    safety = house.security()
    judged(safety, await asked(safety), OWN)
    assert not (await asked(safety)).required


async def test_memory_fades(house: Fixture) -> None:
    safety = house.security()
    judged(safety, await asked(safety), GOOD)
    house.now += 29 * DAY
    assert (await asked(safety)).required
    house.now += 2 * DAY
    assert not (await asked(safety)).required


async def test_memory_that_is_used_stays(house: Fixture) -> None:
    safety = house.security()
    for _ in range(4):
        judged(safety, await asked(safety), GOOD)
        house.now += 29 * DAY
    assert (await asked(safety)).required


async def test_without_memory(house: Fixture) -> None:
    house.settings = TlsPolicySettings(memory=0)
    safety = house.security()
    judged(safety, await asked(safety), GOOD)
    assert not (await asked(safety)).required


async def test_memory_yields_after_a_day_but_not_to_plain_text(house: Fixture) -> None:
    safety = house.security()
    judged(safety, await asked(safety), GOOD)
    demand = await asked(safety, waited=DAY + 1)
    assert demand.required
    with capture_logs() as logs:
        assert judged(safety, demand, GOOD) == "verified"
        assert logs == [], "it is what it was: nothing to be told"
        assert judged(safety, demand, OWN) == ""
    assert [entry["log_level"] for entry in logs] == ["warning"]
    assert ("no-policy-found", MX, "certificate-not-trusted") in house.counted(safety)


# DANE.


async def test_dane(house: Fixture) -> None:
    house.resolver = Answers({TLSA: (MATCHING,)}, secure=True)
    safety = house.security()
    demand = await asked(safety, waited=9 * DAY)
    assert demand.required
    assert judged(safety, demand, OWN) == "DANE"
    with pytest.raises(UnsafeError, match="DANE"):
        judged(safety, demand, GOOD)
    assert house.counted(safety) == {("tlsa", MX, ""): 1, ("tlsa", MX, "validation-failure"): 1}


async def test_dane_asks_at_the_port_that_is_used(house: Fixture) -> None:
    house.resolver = Answers({(f"_2525._tcp.{MX}", RecordType.TLSA): (MATCHING,)}, secure=True)
    assert (await asked(house.security(), Host(MX, 2525, secure=True))).required


async def test_a_trust_anchor_may_name_the_domain(house: Fixture) -> None:
    """RFC 7672 3.2.3: the certificate may be for the domain that the mail is for."""
    house.resolver = Answers({TLSA: (Tlsa(2, 0, 2, hashlib.sha512(ROOT.der).digest()),)}, secure=True)
    safety = house.security()
    demand = await asked(safety)
    for own in (GOOD, leaf(ROOT, DOMAIN)):
        assert judged(safety, demand, own, ROOT) == "DANE"
    with pytest.raises(UnsafeError):
        judged(safety, demand, OTHER, ROOT)


@pytest.mark.parametrize(
    ("host", "addresses", "secure"),
    [(Host(MX), HERE, True), (HOST, HostAddresses(HERE.found), True), (HOST, HERE, False)],
    ids=["MX", "address", "TLSA"],
)
async def test_all_that_leads_to_the_records_must_be_signed(
    house: Fixture, host: Host, addresses: HostAddresses, secure: bool
) -> None:
    """RFC 7672 2.2."""
    house.resolver = Answers({TLSA: (MATCHING,)}, secure=secure)
    assert not (await asked(house.security(), host, addresses)).required


async def test_without_dane(house: Fixture) -> None:
    house.resolver = Answers({TLSA: (MATCHING,)}, secure=True)
    house.settings = TlsPolicySettings(dane=False)
    assert not (await asked(house.security())).required


async def test_records_that_cannot_be_had_keep_the_mail_back(house: Fixture) -> None:
    """RFC 7672 2.1.2. But where nothing is signed they are not even asked for."""
    house.resolver.failing.add(TLSA)
    safety = house.security()
    with pytest.raises(UnsafeError, match="DANE"):
        await asked(safety)
    assert house.counted(safety) == {("tlsa", MX, "dnssec-invalid"): 1}
    assert not (await asked(safety, Host(MX))).required


async def test_records_that_cannot_be_used_ask_for_tls_at_least(house: Fixture) -> None:
    """RFC 7672 2.2."""
    house.resolver = Answers({TLSA: (Tlsa(1, 1, 1, bytes(32)), Tlsa(3, 1, 1, b""))}, secure=True)
    safety = house.security()
    demand = await asked(safety)
    assert demand.required
    assert judged(safety, demand, OWN) == ""
    assert house.counted(safety) == {("tlsa", MX, "tlsa-invalid"): 1}


async def test_dane_outweighs_a_policy(house: Fixture) -> None:
    """RFC 8461 2."""
    house.resolver = Answers({TLSA: (MATCHING,)}, secure=True)
    async with house.publishing(policy("enforce", "another.test")):
        safety = house.security()
        assert judged(safety, await asked(safety), OWN) == "DANE"
    assert house.lookups == 0


# MTA-STS.


async def test_a_policy_to_be_enforced(house: Fixture) -> None:
    async with house.publishing(policy("enforce")):
        safety = house.security()
        demand = await asked(safety, waited=9 * DAY)
        assert demand.required
        assert judged(safety, demand, GOOD) == "verified"
        with pytest.raises(UnsafeError, match=f"the policy of {DOMAIN}"):
            judged(safety, demand, OWN)
        with pytest.raises(UnsafeError, match="MTA-STS"):
            await asked(safety, Host("evil.test"))
    assert house.counted(safety) == {
        ("sts", MX, ""): 1,
        ("sts", MX, "certificate-not-trusted"): 1,
        ("sts", "evil.test", "validation-failure"): 1,
    }


async def test_a_policy_to_be_tested(house: Fixture) -> None:
    """RFC 8461 5: what would have failed is reported, and the mail goes."""
    async with house.publishing(policy("testing")):
        safety = house.security()
        demand = await asked(safety)
        assert (demand.required, demand.wanted) == (False, True)
        assert judged(safety, demand, GOOD) == "verified"
        assert judged(safety, demand, STALE) == ""
        stranger = await asked(safety, Host("evil.test"))
        assert judged(safety, stranger, OWN) == ""
    assert house.counted(safety) == {
        ("sts", MX, ""): 1,
        ("sts", MX, "certificate-expired"): 1,
        ("sts", MX, "validation-failure"): 1,
    }


async def test_a_policy_of_none(house: Fixture) -> None:
    async with house.publishing(policy("none")):
        safety = house.security()
        assert not (await asked(safety)).required
        judged(safety, await asked(safety), GOOD)
        assert (await asked(safety)).required, "memory goes on"


async def test_without_mta_sts(house: Fixture) -> None:
    house.settings = TlsPolicySettings(mta_sts=False)
    async with house.publishing(policy("enforce")):
        assert not (await asked(house.security())).required
    assert house.resolver.asked.count(TXT) == 0


async def test_one_look_for_all_who_ask_at_once(house: Fixture) -> None:
    async with house.publishing(policy("enforce")):
        safety = house.security()
        demands = await asyncio.gather(*(asked(safety) for _ in range(20)))
        assert all(demand.required for demand in demands)
        assert (await asked(safety)).required
    assert house.lookups == 1


async def test_who_gives_up_does_not_spoil_it_for_others(house: Fixture) -> None:
    async with house.publishing(policy("enforce")):
        safety = house.security()
        impatient, patient = (asyncio.create_task(asked(safety)) for _ in range(2))
        await asyncio.sleep(0)
        impatient.cancel()
        assert (await patient).required
    assert house.lookups == 1


async def test_a_policy_outlives_the_process_and_its_web_server(house: Fixture) -> None:
    async with house.publishing(policy("enforce")):
        await asked(house.security())
    house.now += 3600
    assert (await asked(house.security())).required
    assert house.lookups == 1, "the id is the same"


@pytest.mark.parametrize("lost", ["record", "dns", "web", "rubbish", "certificate"])
async def test_what_is_lost_does_not_undo_a_policy(house: Fixture, lost: str) -> None:
    """RFC 8461 5.1: it holds until it ends, whoever stands in between."""
    async with house.publishing(policy("enforce", age=604800)):
        await asked(house.security())
    house.now += 2 * DAY
    house.port = 1
    if lost == "record":
        del house.resolver.records[TXT]
    elif lost == "dns":
        house.resolver.failing.add(TXT)
    else:
        house.resolver.records[TXT] = (b"v=STSv1; id=2;",)
    async with house.web(OK + b"\r\nrubbish", OTHER if lost == "certificate" else WEB):
        if lost == "web":
            house.port = 1
        assert (await asked(house.security())).required
        house.now += 6 * DAY
        assert not (await asked(house.security())).required, "it has ended"


async def test_a_new_id_brings_the_new_policy(house: Fixture) -> None:
    async with house.publishing(policy("enforce")):
        assert (await asked(house.security())).required
    async with house.publishing(policy("none"), id_="2"):
        assert not (await asked(house.security())).required


async def test_the_record_is_asked_for_again_after_a_while(house: Fixture) -> None:
    async with house.publishing(policy("enforce")):
        safety = house.security()
        record = house.resolver.records.pop(TXT)
        assert not (await asked(safety)).required
        house.resolver.records[TXT] = record
        house.now += 1800
        assert not (await asked(safety)).required
        house.now += 1801
        assert (await asked(safety)).required


async def test_a_policy_is_fetched_anew_every_day(house: Fixture) -> None:
    """RFC 8461 3.3: who waits for its last hour could be kept from it just then."""
    async with house.publishing(policy("enforce", age=2 * 86400)):
        for _ in range(5):
            assert (await asked(house.security())).required
            house.now += DAY + 1
    assert house.lookups == 5


async def test_a_failure_is_not_repeated_at_once(house: Fixture) -> None:
    house.resolver.records[TXT] = (b"v=STSv1; id=1;",)
    safety = house.security()
    for _ in range(5):
        assert not (await asked(safety)).required
        house.now += 50
    assert house.lookups == 1
    house.now += 51
    await asked(safety)
    assert house.lookups == 2


@pytest.mark.parametrize(
    ("said", "shown", "result"),
    [
        (b"HTTP/1.1 404 x\r\n\r\n", WEB, "sts-policy-fetch-error"),
        (OK + b"\r\nrubbish", WEB, "sts-policy-invalid"),
        (OK + b"\r\n" + policy("enforce"), OTHER, "sts-webpki-invalid"),
    ],
)
async def test_policies_that_cannot_be_had_are_counted(house: Fixture, said: bytes, shown: Issued, result: str) -> None:
    house.resolver.records[TXT] = (b"v=STSv1; id=1;",)
    async with house.web(said, shown):
        safety = house.security()
        assert not (await asked(safety)).required
    assert house.counted(safety) == {("sts", "", result): 1}


# Counts.


async def test_counts_are_written_by_themselves(house: Fixture, monkeypatch: pytest.MonkeyPatch) -> None:
    written = asyncio.Event()

    class Watched(SqliteDestinations):
        def add_results(self, results: list[TlsResult]) -> bool:
            written.set()
            return super().add_results(results)

    monkeypatch.setattr(results, "_FLUSH_SECONDS", 0.001)
    with closing(Watched(house.folder / "destinations.db")) as house.memory:
        safety = house.security()
        demand = await asked(safety)
        for _ in range(3):
            safety.report_failure(DOMAIN, MX, demand, "starttls-not-supported")
        await written.wait()
        [found] = house.memory.results(int(house.now) // 86400)
    assert found.count == 3


async def test_counts_that_cannot_be_written_wait(house: Fixture) -> None:
    class Stuck(SqliteDestinations):
        def add_results(self, results: list[TlsResult]) -> bool:
            return False

    safety = house.security()
    demand = await asked(safety)
    safety.report_failure(DOMAIN, MX, demand, "validation-failure")
    with closing(Stuck(house.folder / "destinations.db")) as stuck:
        safety._results._destinations = stuck
        safety.flush()
    safety._results._destinations = house.memory
    safety.report_failure(DOMAIN, MX, demand, "validation-failure")
    assert house.counted(safety) == {("no-policy-found", MX, "validation-failure"): 2}
    assert house.counted(safety) == {("no-policy-found", MX, "validation-failure"): 2}, "and once only"


async def test_counts_are_kept_by_day(house: Fixture) -> None:
    safety = house.security()
    demand = await asked(safety)
    safety.report_failure(DOMAIN, MX, demand, "validation-failure")
    house.now += DAY
    safety.report_failure(DOMAIN, MX, demand, "validation-failure")
    assert house.counted(safety) == {("no-policy-found", MX, "validation-failure"): 1}
