"""posthouse domain dns: what it prints is a zone, and signatures hold by it."""

import io
import json
import subprocess
import sys
from pathlib import Path

import apsw
import dkim  # type: ignore[import-untyped]
import dns.rdatatype
import dns.zone
import pytest
from dns.rdtypes.ANY.TXT import TXT

from posthouse.accounts.sqlite import SqliteRegistry
from posthouse.app.cli import main
from posthouse.app.commands.dns_records import DnsRecord
from posthouse.app.errors import Exit
from posthouse.policy.dkim.signer import Signer
from tests.interop.tools import tool


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    """The data folder of a server mail.example.org with two domains."""
    monkeypatch.setenv("POSTHOUSE_SERVER__HOSTNAME", "mail.example.org")
    folder = tmp_path / "data"
    for name in ("example.org", "münchen.example"):
        assert main(["domain", "add", name, "--yes", "--data", str(folder)]) == Exit.OK
    capsys.readouterr()
    return folder


def zone_of(name: str, data: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["domain", "dns", name, "--zone", "--data", str(data)]) == Exit.OK
    captured = capsys.readouterr()
    assert captured.err.startswith("mail.example.org itself needs A or AAAA records")
    return captured.out


def found_in(zone: str, origin: str) -> dict[tuple[str, str], str]:
    """(name, type) -> data, TXT strings joined, as dnspython reads them."""
    parsed = dns.zone.from_text(zone, origin, check_origin=False, relativize=False)
    found = {}
    for name, _, data in parsed.iterate_rdatas():
        text = b"".join(data.strings).decode() if isinstance(data, TXT) else data.to_text()
        found[name.to_text().removesuffix("."), dns.rdatatype.to_text(data.rdtype)] = text
    return found


def test_the_zone_says_all_that_is_needed(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = found_in(zone_of("Example.ORG", data, capsys), "example.org")
    rsa, ed25519 = (name for name, _ in found if "_domainkey" in name)
    assert found.pop((rsa, "TXT")).startswith("v=DKIM1; k=rsa; p=")
    assert found.pop((ed25519, "TXT")).startswith("v=DKIM1; k=ed25519; p=")
    assert found.pop(("_mta-sts.example.org", "TXT")).startswith("v=STSv1; id=")
    assert found == {
        ("example.org", "MX"): "10 mail.example.org.",
        ("example.org", "TXT"): "v=spf1 mx -all",
        ("mail.example.org", "TXT"): "v=spf1 a -all",
        ("_dmarc.example.org", "TXT"): "v=DMARC1; p=quarantine; rua=mailto:postmaster@example.org",
        ("mta-sts.example.org", "CNAME"): "mail.example.org.",
        ("_smtp._tls.example.org", "TXT"): "v=TLSRPTv1; rua=mailto:postmaster@example.org",
        ("_submissions._tcp.example.org", "SRV"): "0 1 465 mail.example.org.",
        ("_submission._tcp.example.org", "SRV"): "10 1 587 mail.example.org.",
        ("_pop3s._tcp.example.org", "SRV"): "0 1 995 mail.example.org.",
        ("_pop3._tcp.example.org", "SRV"): "10 1 110 mail.example.org.",
        ("_imaps._tcp.example.org", "SRV"): "0 1 993 mail.example.org.",
        ("_imap._tcp.example.org", "SRV"): "10 1 143 mail.example.org.",
        ("autoconfig.example.org", "CNAME"): "mail.example.org.",
        ("autodiscover.example.org", "CNAME"): "mail.example.org.",
    }


def test_the_hosts_own_name_is_told_with_its_zone_alone(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Reports have no sender: SPF looks at the name in EHLO."""
    for name, others in (("example.org", False), ("münchen.example", True)):
        assert main(["domain", "dns", name, "--zone", "--data", str(data)]) == Exit.OK
        captured = capsys.readouterr()
        assert ("mail.example.org. 3600 IN TXT" in captured.out) is not others
        assert ('"v=spf1 a -all"' in captured.err) is others
    monkeypatch.setenv("POSTHOUSE_OUTGOING__HELLO", "out.example.org")
    monkeypatch.setenv("POSTHOUSE_OUTGOING__SOURCE_IPV4", "8.8.4.4")
    found = found_in(zone_of("example.org", data, capsys), "example.org")
    assert found["out.example.org", "TXT"] == "v=spf1 a ip4:8.8.4.4 -all"
    monkeypatch.setenv("POSTHOUSE_OUTGOING__HELLO", "example.org")
    assert found_in(zone_of("example.org", data, capsys), "example.org")["example.org", "TXT"].startswith("v=spf1 mx")
    monkeypatch.setenv("POSTHOUSE_OUTGOING__HELLO", "out.example.org")
    monkeypatch.setenv("POSTHOUSE_OUTGOING__ENABLED", "false")
    assert ("out.example.org", "TXT") not in found_in(zone_of("example.org", data, capsys), "example.org")


def test_the_zone_is_read_by_ldns(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    zone = zone_of("münchen.example", data, capsys)
    (tmp_path / "zone").write_text(zone)
    done = subprocess.run(
        [tool("ldns-read-zone"), str(tmp_path / "zone")], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert found_in(done.stdout, "xn--mnchen-3ya.example") == found_in(zone, "xn--mnchen-3ya.example")
    assert "\nxn--mnchen-3ya.example. 3600 IN MX 10 mail.example.org.\n" in zone
    assert zone.isascii()


def test_signatures_hold_by_the_zone(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = found_in(zone_of("example.org", data, capsys), "example.org")
    with SqliteRegistry(data / "directory.db") as registry:
        keys = registry.domains.ensure_signing_keys("example.org")
    head = b"From: a@example.org\r\n\r\n"
    signed = Signer(keys).sign(head, [b"Hello\r\n"], 1_700_000_000) + head + b"Hello\r\n"

    def answer(name: bytes, timeout: float = 5) -> bytes:
        return found[name.decode().removesuffix("."), "TXT"].encode()

    assert dkim.verify(signed, dnsfunc=answer)


def test_a_domain_older_than_signing_gets_its_keys(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = zone_of("example.org", data, capsys)
    connection = apsw.Connection(str(data / "directory.db"))
    connection.execute("DELETE FROM dkim_keys")
    connection.close()
    after = zone_of("example.org", data, capsys)
    assert after != before
    assert found_in(after, "example.org").keys() == found_in(before, "example.org").keys()
    assert zone_of("example.org", data, capsys) == after


def test_machines_get_json(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["domain", "dns", "example.org", "--json", "--data", str(data)]) == Exit.OK
    captured = capsys.readouterr()
    assert captured.err == ""
    document = json.loads(captured.out)
    assert (document["version"], document["domain"], document["hostname"]) == (1, "example.org", "mail.example.org")
    needed = [(record["type"], record["name"].split(".")[0]) for record in document["records"] if record["needed"]]
    assert [kind for kind, _ in needed] == ["MX", "TXT", "TXT", "TXT", "TXT", "TXT"]
    assert [name for _, name in needed[-2:]] == ["_dmarc", "mail"]
    assert {"name": "example.org", "type": "TXT", "value": "v=spf1 mx -all"}.items() <= document["records"][1].items()


def test_a_pipe_gets_a_row_a_record(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["domain", "dns", "example.org", "--data", str(data)]) == Exit.OK
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert rows[0][:4] == ["MX", "example.org", "10 mail.example.org.", "needed"]
    assert {len(row) for row in rows} == {5}
    assert {row[3] for row in rows} == {"needed", "optional"}


def test_a_person_reads_what_each_is_for(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert main(["domain", "dns", "example.org", "--data", str(data)]) == Exit.OK
    assert isinstance(sys.stdout, Terminal)
    mail, spf, *_ = sys.stdout.getvalue().split("\n\n")
    assert mail == (
        "MX    example.org  (needed)\n      10 mail.example.org.\n      Mail for the domain comes to this server."
    )
    assert spf.splitlines()[1] == "      v=spf1 mx -all"
    # A value stays on one line, which the terminal wraps: so it can be copied.
    long = [line for line in sys.stdout.getvalue().splitlines() if len(line) > 80]
    assert [line.split(";")[0].strip() for line in long] == ["v=DKIM1"]


def test_services_are_told_as_configured(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "posthouse.toml"
    file.write_text(
        f'[server]\nhostname = "autoconfig.example.org"\ndata = "{data}"\n'
        '[submission]\nlisten = []\nlisten_tls = [":4465"]\n[pop3]\nlisten = ["unix:/run/pop3"]\n'
    )
    monkeypatch.delenv("POSTHOUSE_SERVER__HOSTNAME")
    assert main(["domain", "dns", "example.org", "--zone", "-c", str(file)]) == Exit.OK
    found = found_in(capsys.readouterr().out, "example.org")
    assert found["_submissions._tcp.example.org", "SRV"] == "0 1 4465 autoconfig.example.org."
    assert found["_submission._tcp.example.org", "SRV"] == found["_pop3._tcp.example.org", "SRV"] == "0 0 0 ."
    assert ("autoconfig.example.org", "CNAME") not in found  # it is the server's own name


@pytest.mark.parametrize("hostname", ["mail", "192.0.2.1", "localhost"])
def test_a_server_without_a_name_in_dns_is_told(
    hostname: str, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("POSTHOUSE_SERVER__HOSTNAME", hostname)
    assert main(["domain", "dns", "example.org", "--zone", "--data", str(data)]) == Exit.CONFIG
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "server.hostname" in captured.err


def test_an_unknown_domain_is_told(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["domain", "dns", "exmple.org", "--data", str(data)]) == Exit.FAILED
    assert "did you mean example.org?" in capsys.readouterr().err


def test_long_text_is_cut_and_quoted() -> None:
    line = DnsRecord("a.test", "TXT", 'say "yes" \\ ' + "x" * 600, "a test").zone_line().splitlines()[1]
    zone = dns.zone.from_text(line, "a.test", check_origin=False)
    ((_, _, data),) = zone.iterate_rdatas()
    assert isinstance(data, TXT)
    assert [len(string) for string in data.strings] == [255, 255, 102]
    assert b"".join(data.strings) == b'say "yes" \\ ' + b"x" * 600
