"""Which hosts take a domain's mail, by what DNS says."""

from pathlib import Path

import pytest

from posthouse.delivery.outbound.hosts import Host, HostAddresses, Hosts, NoHostError, is_forbidden
from posthouse.net.dns.hosts_file import HostsFile
from posthouse.net.dns.interface import Answer, DnsError, Found, Mx, RecordType
from posthouse.queue.outcome import Permanent, Transient

ZONE: dict[tuple[str, RecordType], tuple[object, ...]] = {
    ("one.test", RecordType.MX): (Mx(10, "mx.one.test"),),
    ("many.test", RecordType.MX): tuple(Mx(n // 3, f"mx{n}.many.test") for n in (8, 7, 6, 5, 4, 3, 2, 1, 0)),
    ("null.test", RecordType.MX): (Mx(0, ""),),
    ("loop.test", RecordType.MX): (
        Mx(5, "better.test"),
        Mx(10, "mail.here.test"),
        Mx(10, "equal.test"),
        Mx(20, "w.test"),
    ),
    ("ours.test", RecordType.MX): (Mx(10, "mail.here.test"), Mx(20, "worse.test")),
    ("local.test", RecordType.MX): (Mx(10, "localhost"), Mx(20, "worse.test")),
    ("below.test", RecordType.MX): (Mx(0, "mx.localhost"),),
    ("both.test", RecordType.A): ("192.0.2.1", "192.0.2.2"),
    ("both.test", RecordType.AAAA): ("2001:db8::1",),
    ("four.test", RecordType.A): ("192.0.2.4",),
    ("half.test", RecordType.A): ("192.0.2.5",),
    ("large.test", RecordType.A): tuple(f"192.0.2.{n}" for n in range(50)),
}
NAMES = {name for name, _ in ZONE}
BROKEN = {
    ("broken.test", RecordType.MX),
    ("down.test", RecordType.A),
    ("down.test", RecordType.AAAA),
    ("half.test", RecordType.AAAA),
}


class Names:
    """Answers from ZONE."""

    def remembered(self, name: str, kind: RecordType) -> Answer | None:
        return None

    async def look_up(self, name: str, kind: RecordType) -> Answer:
        if (name, kind) in BROKEN:
            raise DnsError(f"{name}: SERVFAIL")
        if name == "alias.test":
            return Answer(Found.NO_DATA, "real.test", (), True, 0)
        records = ZONE.get((name, kind), ())
        found = Found.RECORDS if records else Found.NO_DATA if name in NAMES else Found.NO_NAME
        return Answer(found, name, records, name == "one.test", 0)

    async def close(self) -> None: ...


HOSTS = Hosts(Names(), "Mail.Here.test")


async def test_one_host() -> None:
    assert await HOSTS.of_domain("one.test") == [Host("mx.one.test", 25, secure=True)]


async def test_by_preference_and_equals_at_random() -> None:
    orders = set()
    for _ in range(60):
        names = [host.name for host in await HOSTS.of_domain("many.test")]
        assert [sorted(names[n : n + 3]) for n in (0, 3, 6)] == [
            [f"mx{m}.many.test" for m in range(n, n + 3)] for n in (0, 3, 6)
        ]
        orders.add(tuple(names[:3]))
    assert len(orders) == 6


async def test_without_mx_the_domain_itself() -> None:
    assert await HOSTS.of_domain("four.test") == [Host("four.test")]
    assert await HOSTS.of_domain("alias.test") == [Host("real.test", secure=True)]


async def test_a_literal() -> None:
    assert await HOSTS.of_domain("[192.0.2.9]") == [Host("192.0.2.9")]
    assert await HOSTS.of_domain("[IPv6:2001:db8::9]") == [Host("2001:db8::9")]


@pytest.mark.parametrize(
    ("domain", "kind", "code", "status"),
    [
        ("null.test", Permanent, 556, "5.1.10"),  # RFC 7505
        ("nowhere.test", Permanent, 550, "5.1.2"),
        ("broken.test", Transient, 451, "4.4.3"),
        ("ours.test", Permanent, 554, "5.4.6"),  # RFC 5321 5.1
        ("local.test", Permanent, 554, "5.4.6"),
        ("below.test", Permanent, 554, "5.4.6"),
        ("[x:y]", Permanent, 550, "5.1.2"),
    ],
)
async def test_nowhere_to_go(domain: str, kind: type, code: int, status: str) -> None:
    with pytest.raises(NoHostError) as caught:
        await HOSTS.of_domain(domain)
    outcome = caught.value.outcome
    assert type(outcome) is kind
    assert (outcome.reply.code, outcome.reply.enhanced) == (code, status)
    assert not outcome.spoken


async def test_only_hosts_better_than_ourselves() -> None:
    assert [host.name for host in await HOSTS.of_domain("loop.test")] == ["better.test"]


async def test_both_families_in_turns() -> None:
    assert await HOSTS.addresses(Host("both.test")) == HostAddresses(("2001:db8::1", "192.0.2.1", "192.0.2.2"))
    assert await Hosts(Names(), "x", ipv6=False).addresses(Host("both.test")) == HostAddresses(
        ("192.0.2.1", "192.0.2.2")
    )


async def test_one_family_is_enough() -> None:
    assert (await HOSTS.addresses(Host("half.test"))).found == ("192.0.2.5",)


async def test_not_too_many_addresses() -> None:
    assert len((await HOSTS.addresses(Host("large.test"))).found) == 10


async def test_an_address_is_its_own() -> None:
    assert (await HOSTS.addresses(Host("192.0.2.7"))).found == ("192.0.2.7",)


async def test_no_address() -> None:
    with pytest.raises(NoHostError) as caught:
        await HOSTS.addresses(Host("mx.one.test"))
    assert caught.value.outcome.reply.enhanced == "5.4.4"
    with pytest.raises(NoHostError) as caught:
        await HOSTS.addresses(Host("down.test"))
    assert isinstance(caught.value.outcome, Transient)


@pytest.mark.parametrize("private", [False, True])
def test_where_dns_must_not_lead_us(private: bool) -> None:
    """Which addresses these are is tested with net/may_reach.py."""
    assert is_forbidden("127.0.0.1", private=private)
    assert is_forbidden("169.254.169.254", private=private)
    assert is_forbidden("10.1.2.3", private=private) is not private
    assert not is_forbidden("8.8.8.8", private=private)


async def test_names_of_this_machine_count_where_the_operator_wrote_them(tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("192.0.2.77 four.test relay\n2001:db8::7 relay\n")
    hosts = Hosts(Names(), "x", hosts_file=HostsFile(tmp_path / "hosts"))
    assert await hosts.addresses(Host("relay", configured=True)) == HostAddresses(("192.0.2.77", "2001:db8::7"))
    assert (await hosts.addresses(Host("four.test", configured=True))).found == ("192.0.2.77",)
    assert (await hosts.addresses(Host("four.test"))).found == ("192.0.2.4",)  # DNS said so, DNS says where
    assert (await hosts.addresses(Host("localhost", configured=True))).found == ("127.0.0.1", "::1")
    with pytest.raises(NoHostError):
        await hosts.addresses(Host("localhost"))
    without = Hosts(Names(), "x", ipv6=False, hosts_file=HostsFile(tmp_path / "hosts"))
    assert (await without.addresses(Host("relay", configured=True))).found == ("192.0.2.77",)
