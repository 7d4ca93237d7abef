"""What `domain dns` makes of routes and of the certificate."""

import datetime
import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from posthouse.app.commands.dns_certificate import certificate_records, load_certificate
from posthouse.app.commands.dns_records import records
from posthouse.app.commands.dns_routes import spf_terms
from posthouse.app.config.loading import load
from tests.app.folders import run

RELAY = '[route.relay]\nhosts = ["smtp.provider.example:587"]\n'
SES = '[route.ses]\nhosts = ["email-smtp.eu-west-1.amazonaws.com:587"]\n'


def spf(text: str, tmp_path: Path, domain: str = "example.org") -> tuple[str, str]:
    file = tmp_path / "posthouse.toml"
    file.write_text(text)
    settings = load(file, {}).settings
    terms = spf_terms(domain, settings.route, settings.outgoing)
    (record,) = (r for r in records(domain, "mail.example.org", [], {}, terms) if r.value.startswith("v=spf1"))
    return record.value, record.purpose


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", "v=spf1 mx -all"),
        (RELAY, "v=spf1 mx a:smtp.provider.example ~all"),
        (SES, "v=spf1 mx include:amazonses.com -all"),
        (
            '[route.g]\nhosts = ["smtp-relay.gmail.com:587", "smtp.gmail.com:587"]\n',
            "v=spf1 mx include:_spf.google.com -all",
        ),
        (f'{SES}sender = ["other.example"]\n', "v=spf1 mx -all"),
        (f'{SES}sender = ["example.org"]\n', "v=spf1 mx include:amazonses.com -all"),
        (f'{SES}sender = ["news@example.org"]\n', "v=spf1 mx include:amazonses.com -all"),
        (f'{SES}sender = [".org"]\n', "v=spf1 mx include:amazonses.com -all"),
        (SES + RELAY, "v=spf1 mx include:amazonses.com -all"),  # nothing gets to the second one
        (f'{SES}to = ["a.example"]\n{RELAY}', "v=spf1 mx include:amazonses.com a:smtp.provider.example ~all"),
        (
            '[route.m]\nhosts = ["smtp.eu.mailgun.org:587", "in-v3.mailjet.com:587", "smtp-relay.brevo.com:587"]\n',
            "v=spf1 mx include:mailgun.org include:spf.mailjet.com include:spf.brevo.com -all",
        ),
        ('[route.2]\nhosts = ["mail.smtp2go.com:587"]\n', "v=spf1 mx a:mail.smtp2go.com ~all"),
        ('[route.inside]\nhosts = ["10.0.0.25:25", "localhost:25"]\n', "v=spf1 mx -all"),
        ('[route.fixed]\nhosts = ["8.8.4.4:25", "[2600::1]:25"]\n', "v=spf1 mx ip4:8.8.4.4 ip6:2600::1 -all"),
        (
            '[route.n]\nsource = "8.8.4.4"\n[outgoing]\nsource_ipv6 = "2600::2"\n',
            "v=spf1 mx ip6:2600::2 ip4:8.8.4.4 -all",
        ),
    ],
)
def test_spf_names_who_sends(text: str, value: str, tmp_path: Path) -> None:
    assert spf(text, tmp_path)[0] == value


def test_a_provider_that_is_not_known_is_to_be_asked(tmp_path: Path) -> None:
    purpose = spf(RELAY, tmp_path)[1]
    assert "smtp.provider.example" in purpose
    assert "include:NAME" in purpose
    assert "ask" not in spf(SES, tmp_path)[1]


def certificate_of(organisation: str, folder: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation)]))
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=90))
        .sign(key, hashes.SHA256())
    )
    path = folder / "fullchain.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return path


def test_a_certificate_of_a_known_authority(tmp_path: Path) -> None:
    path = certificate_of("Let's Encrypt", tmp_path)
    found = load_certificate(path)
    assert found is not None
    caa, tlsa = certificate_records("mail.example.org", found, smtp=True)
    assert (caa.name, caa.type, caa.value) == ("mail.example.org", "CAA", '0 issue "letsencrypt.org"')
    # As `openssl` makes it of the same file.
    pem = subprocess.run(["openssl", "x509", "-in", path, "-noout", "-pubkey"], capture_output=True, check=True).stdout
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "DER"], input=pem, capture_output=True, check=True)
    assert (tlsa.name, tlsa.type) == ("_25._tcp.mail.example.org", "TLSA")
    assert tlsa.value == f"3 1 1 {hashlib.sha256(der.stdout).hexdigest()}"
    assert not (caa.needed or tlsa.needed)
    assert list(certificate_records("mail.example.org", found, smtp=False)) == [caa]


def test_a_certificate_of_somebody_else(tmp_path: Path) -> None:
    found = load_certificate(certificate_of("Our own house", tmp_path))
    assert found is not None
    assert [record.type for record in certificate_records("mail.example.org", found, smtp=True)] == ["TLSA"]
    assert load_certificate(tmp_path / "nowhere.pem") is None
    (tmp_path / "x.pem").write_text("no certificate")
    assert load_certificate(tmp_path / "x.pem") is None


def test_the_command_shows_them_where_they_belong(tmp_path: Path) -> None:
    certificate = certificate_of("Let's Encrypt", tmp_path)
    config = tmp_path / "posthouse.toml"
    config.write_text(
        f'[server]\nhostname = "mail.example.org"\ndata = "{tmp_path / "data"}"\nuser = ""\n'
        f'[tls]\ncertificate = "{certificate}"\nkey = "{tmp_path / "key.pem"}"\n{SES}'
    )
    c = ("-c", str(config))
    for name in ("example.org", "other.example"):
        assert run("domain", "add", name, "--yes", *c).returncode == 0
    own = run("domain", "dns", "example.org", "--zone", *c).stdout
    assert "_25._tcp.mail.example.org. 3600 IN TLSA 3 1 1 " in own
    assert 'mail.example.org. 3600 IN CAA 0 issue "letsencrypt.org"' in own
    assert 'example.org. 3600 IN TXT "v=spf1 mx include:amazonses.com -all"' in own
    other = run("domain", "dns", "other.example", "--zone", *c).stdout
    assert "TLSA" not in other and "CAA" not in other
    assert "include:amazonses.com" in other


def test_prose_fits_a_terminal_of_80_columns(tmp_path: Path) -> None:
    data = str(tmp_path / "data")
    words = [sys.executable, "-m", "posthouse", "domain"]
    hostname = {"POSTHOUSE_SERVER__HOSTNAME": "mail.example.org", "PATH": "/usr/bin:/bin", "TERM": "dumb"}
    subprocess.run([*words, "add", "example.org", "--yes", "--data", data], check=True, env=hostname)
    command = " ".join([*words, "dns", "example.org", "--data", data])
    shown = subprocess.run(
        ["script", "-qec", command, "/dev/null"], capture_output=True, text=True, check=True, env=hostname
    )
    long = [line for line in shown.stdout.splitlines() if len(line) > 80]
    assert len(long) == 1 and "v=DKIM1; k=rsa;" in long[0]  # which is for copying
