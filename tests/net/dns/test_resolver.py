"""The resolver, against a name server of its own and against Debian's unbound."""

import asyncio
import socket
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import dns.message
import pytest

from posthouse.net.dns.interface import DnsError, Found, Mx, RecordType, Tlsa
from posthouse.net.dns.resolver import DnsResolver
from posthouse.net.dns.settings import ResolverSettings
from posthouse.net.dns.system import system_settings
from posthouse.net.dns.transport import ask
from tests.net.dns.server import NameServer

ZONE = {
    ("x.test", "A"): ["192.0.2.1", "192.0.2.2"],
    ("x.test", "AAAA"): ["2001:db8::1"],
    ("x.test", "MX"): ["10 MX.x.test.", "20 mx2.x.test."],
    ("null.test", "MX"): ["0 ."],
    ("x.test", "TXT"): ['"v=spf1 " "mx -all"', '"other"'],
    ("_25._tcp.x.test", "TLSA"): ["3 1 1 " + "ab" * 32],
    ("www.test", "CNAME"): ["x.test."],
    ("out.test", "CNAME"): ["a.far.test."],
    ("a.far.test", "A"): ["192.0.2.9"],
    ("round.test", "CNAME"): ["round.far.test."],
    ("round.far.test", "CNAME"): ["round.test."],
    ("big.test", "TXT"): [f'"{n:03}{"x" * 200}"' for n in range(100)],
    **{
        (f"{fault}.test", "A"): ["192.0.2.7"]
        for fault in ("slow", "garbage", "forged", "noedns", "notimp", "drops", "drops2", "cut")
    },
}
FAULTS = {
    "gone.test": "silent",
    "open.test": "unanswered",
    "slow.test": "silent once",
    "sf.test": "servfail",
    "rf.test": "refused",
    "garbage.test": "garbage",
    "forged.test": "forged",
    "noise.test": "noise",
    "noedns.test": "no edns",
    "notimp.test": "notimp with edns",
    "drops.test": "silent with edns",
    "drops2.test": "silent with edns",
    "big.test": "truncated",
    "cut.test": "truncated",
}


@pytest.fixture
async def server() -> AsyncIterator[NameServer]:
    async with NameServer(ZONE, FAULTS) as running:
        yield running


@pytest.fixture(autouse=True)
def only_silence_is_short(server: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is never answered is given up soon; for an answer a slow machine has all the time that it needs."""

    async def patiently(
        address: tuple[str, int], name: str, kind: RecordType, timeout: float, *, edns: bool
    ) -> dns.message.Message:
        silent = server.is_silent(name, edns=edns)
        return await ask(address, name, kind, 0.1 if silent else timeout, edns=edns)

    monkeypatch.setattr("posthouse.net.dns.resolver.ask", patiently)


@pytest.fixture
async def resolver(server: NameServer) -> AsyncIterator[DnsResolver]:
    made = DnsResolver(ResolverSettings((server.address,), timeout=60, tries=2))
    yield made
    await made.close()


async def test_every_kind(resolver: DnsResolver) -> None:
    async def records(name: str, kind: RecordType) -> tuple[object, ...]:
        return tuple((await resolver.look_up(name, kind)).records)

    assert set(await records("x.test", RecordType.A)) == {"192.0.2.1", "192.0.2.2"}
    assert await records("x.test", RecordType.AAAA) == ("2001:db8::1",)
    assert set(await records("X.Test.", RecordType.MX)) == {Mx(10, "mx.x.test"), Mx(20, "mx2.x.test")}
    assert await records("null.test", RecordType.MX) == (Mx(0, ""),)
    assert set(await records("x.test", RecordType.TXT)) == {b"v=spf1 mx -all", b"other"}
    assert await records("_25._tcp.x.test", RecordType.TLSA) == (Tlsa(3, 1, 1, b"\xab" * 32),)


async def test_what_is_not_there(resolver: DnsResolver) -> None:
    assert (await resolver.look_up("nobody.test", RecordType.A)).found is Found.NO_NAME
    assert (await resolver.look_up("null.test", RecordType.A)).found is Found.NO_DATA
    for name in ("", ".", "a..b", "x" * 64 + ".test", "a b.test", "ü.test", "x\0y.test", ".".join(["a"] * 200)):
        assert (await resolver.look_up(name, RecordType.A)).found is Found.NO_NAME


async def test_aliases(resolver: DnsResolver, server: NameServer) -> None:
    answer = await resolver.look_up("www.test", RecordType.MX)
    assert answer.name == "x.test" and len(answer.records) == 2
    assert (await resolver.look_up("out.test", RecordType.A)).records == ("192.0.2.9",)  # by a second question
    assert server.asked["a.far.test", "A"] == 1
    with pytest.raises(DnsError, match="CNAME"):
        await resolver.look_up("round.test", RecordType.A)


@pytest.mark.parametrize(
    "name", ["slow.test", "garbage.test", "forged.test", "noedns.test", "notimp.test", "drops.test"]
)
async def test_right_in_the_end(resolver: DnsResolver, name: str) -> None:
    assert (await resolver.look_up(name, RecordType.A)).records == ("192.0.2.7",)


@pytest.mark.parametrize("name", ["gone.test", "sf.test", "rf.test", "noise.test"])
async def test_no_answer_is_no_answer(resolver: DnsResolver, name: str) -> None:
    with pytest.raises(DnsError, match=name):
        await resolver.look_up(name, RecordType.A)


async def test_failures_are_remembered_for_a_moment(resolver: DnsResolver, server: NameServer) -> None:
    for _ in range(3):
        with pytest.raises(DnsError):
            await resolver.look_up("sf.test", RecordType.A)
    assert server.asked["sf.test", "A"] == 2  # the tries of the first look-up


async def test_what_does_not_fit_comes_by_tcp(resolver: DnsResolver, server: NameServer) -> None:
    assert len((await resolver.look_up("big.test", RecordType.TXT)).records) == 100
    assert server.by_tcp["big.test"] == 1


async def test_asked_once(resolver: DnsResolver, server: NameServer) -> None:
    assert resolver.remembered("x.test", RecordType.A) is None
    answers = await asyncio.gather(*(resolver.look_up("x.test", RecordType.A) for _ in range(50)))
    assert len(set(answers)) == 1
    assert await resolver.look_up("x.test", RecordType.A) == resolver.remembered("x.test", RecordType.A)
    await resolver.look_up("nobody.test", RecordType.A)
    await resolver.look_up("nobody.test", RecordType.A)
    assert server.asked["x.test", "A"] == server.asked["nobody.test", "A"] == 1


async def test_one_who_gives_up_does_not_break_the_others(resolver: DnsResolver) -> None:
    impatient = asyncio.create_task(resolver.look_up("slow.test", RecordType.A))
    patient = asyncio.create_task(resolver.look_up("slow.test", RecordType.A))
    await asyncio.sleep(0)
    impatient.cancel()
    assert (await patient).records == ("192.0.2.7",)


async def test_ports_and_ids_are_new_each_time(resolver: DnsResolver, server: NameServer) -> None:
    await asyncio.gather(*(resolver.look_up(f"n{n}.test", RecordType.A) for n in range(100)))
    assert len(server.ports) > 60
    assert len(server.idents) > 90


async def test_whom_to_believe(server: NameServer) -> None:
    for trust, secure in ((None, True), (False, False), (True, True)):
        resolver = DnsResolver(ResolverSettings((server.address,), 60, 1, trust))
        assert (await resolver.look_up("x.test", RecordType.A)).secure is secure
        await resolver.close()


async def test_another_server_is_asked(server: NameServer) -> None:
    resolver = DnsResolver(ResolverSettings((("127.0.0.1", 1), server.address), timeout=60, tries=1))
    assert (await resolver.look_up("null.test", RecordType.MX)).records == (Mx(0, ""),)
    await resolver.close()


async def test_close_fails_what_is_open(server: NameServer) -> None:
    resolver = DnsResolver(ResolverSettings((server.address,), timeout=60))
    open_ = asyncio.create_task(resolver.look_up("open.test", RecordType.A))
    while not server.asked["open.test", "A"]:  # noqa: ASYNC110
        await asyncio.sleep(0)
    await resolver.close()
    with pytest.raises(DnsError):
        await open_


def test_resolv_conf(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text(
        "# x\nnameserver 192.0.2.53\nnameserver fe80::1%eth0\nnameserver no\noptions timeout:7 attempts:2 trust-ad\n"
    )
    found = system_settings(file)
    assert found.servers == (("192.0.2.53", 53), ("fe80::1%eth0", 53))
    assert (found.timeout, found.tries, found.trust_ad) == (7.0, 2, True)
    assert system_settings(tmp_path / "none").servers == (("127.0.0.1", 53),)


async def test_unbound(tmp_path: Path) -> None:
    """Another's name server, over both transports."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data = [f"local-data: 'big.test. TXT \"{n:03}{'x' * 200}\"'" for n in range(60)]
    lines = [
        "server:",
        f"directory: {tmp_path}",
        'chroot: ""',
        'username: ""',
        'pidfile: ""',
        "do-daemonize: no",
        "use-syslog: no",
        "interface: 127.0.0.1",
        f"port: {port}",
        "local-zone: test. static",
        "local-data: 'u.test. MX 10 mx.u.test.'",
        *data,
    ]
    (tmp_path / "unbound.conf").write_text("\n".join(lines) + "\n")
    process = subprocess.Popen(  # noqa: ASYNC220
        ["/usr/sbin/unbound", "-d", "-c", str(tmp_path / "unbound.conf")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    resolver = DnsResolver(ResolverSettings((("127.0.0.1", port),), timeout=60, tries=2))
    try:
        for _ in range(200):
            try:
                (await asyncio.open_connection("127.0.0.1", port))[1].close()
                break
            except OSError:
                await asyncio.sleep(0.05)
        assert (await resolver.look_up("u.test", RecordType.MX)).records == (Mx(10, "mx.u.test"),)
        assert len((await resolver.look_up("big.test", RecordType.TXT)).records) == 60
        assert (await resolver.look_up("none.test", RecordType.A)).found is Found.NO_NAME
        assert (await resolver.look_up("u.test", RecordType.A)).found is Found.NO_DATA
    finally:
        await resolver.close()
        process.terminate()
        process.wait()


@pytest.mark.parametrize("tries", [1, 2])
async def test_a_server_that_drops_edns_is_asked_without(server: NameServer, tries: int) -> None:
    """RFC 6891 7; only the first question waits for it."""
    resolver = DnsResolver(ResolverSettings((server.address,), timeout=60, tries=tries))
    for name in ("drops.test", "drops2.test"):
        answer = await resolver.look_up(name, RecordType.A)
        assert answer.records == ("192.0.2.7",) and answer.secure
    assert server.dropped == 1
    await resolver.close()
