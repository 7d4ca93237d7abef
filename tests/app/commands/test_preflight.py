"""config check finds what cannot work on this machine, and says at which place of the file."""

import datetime
import json
import os
import pwd
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from posthouse.app.commands.preflight import Findings, look
from posthouse.app.config.loading import load
from posthouse.app.process.preload import preload
from posthouse.app.system_users import answer_as, find_user
from tests.app.folders import run

NOW = datetime.datetime(2026, 6, 1, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)
GOOD = 'hostname = "mail.example.org"\nuser = ""\n'


def found(folder: Path, text: str) -> Findings:
    file = folder / "posthouse.toml"
    file.write_text(text if text.startswith("[server]") else f"[server]\n{GOOD}{text}")
    return look(load(file, {}, name="posthouse.toml"), NOW)


def told(folder: Path, text: str) -> list[str]:
    return [f"{problem.text}\n{problem.help}" for problem in found(folder, text).problems]


def certificate(
    folder: Path,
    *names: str,
    begin: datetime.datetime = NOW - DAY,
    end: datetime.datetime = NOW + 90 * DAY,
    password: bytes = b"",
) -> str:
    """The lines that name it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.example.org")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(7).not_valid_before(begin).not_valid_after(end)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), False)
    kind: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password:
        kind = serialization.BestAvailableEncryption(password)
    pem = serialization.Encoding.PEM
    (folder / "c.pem").write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(pem))
    (folder / "k.pem").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, kind))
    return f'[tls]\ncertificate = "{folder}/c.pem"\nkey = "{folder}/k.pem"\n'


def test_what_works(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("open sesame\n")
    lines = certificate(tmp_path, "*.example.org")
    assert told(tmp_path, lines + f'key_password_file = "{tmp_path}/secret"\n[smtp]\nlisten = ["127.0.0.1:25"]\n') == []


@pytest.mark.parametrize("name", ["localhost", "mail", "localhost.localdomain", "mail.localhost", "192.0.2.1"])
def test_a_name_that_nobody_can_look_up(name: str, tmp_path: Path) -> None:
    (problem,) = found(tmp_path, f'[server]\nuser = ""\nhostname = "{name}"\n').problems
    assert problem.text.startswith(f'server.hostname: "{name}" is no name by which')
    assert "such as mail.example.org" in problem.help
    assert problem.place is not None and problem.place.line == 3


def test_the_name_of_the_machine_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getfqdn", lambda: "localhost")
    (problem,) = found(tmp_path, '[server]\nuser = ""\n').problems
    file = tmp_path / "posthouse.toml"
    assert problem.render().startswith(f'{file}: error: server.hostname: "localhost" is no name')
    monkeypatch.setattr(socket, "getfqdn", lambda: "mail.example.org")
    assert found(tmp_path, '[server]\nuser = ""\n').problems == []


def test_relative_paths(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    lines = 'data = "mail"\n[outgoing]\nca_file = "ca.pem"\n'
    texts = told(tmp_path, lines)
    assert f'server.data: "mail" is a relative path\nwrite all of it, such as {Path.cwd()}/mail' in texts
    assert any(text.startswith('outgoing.ca_file: "ca.pem" is a relative path') for text in texts)


def test_a_user_that_is_not_there(tmp_path: Path) -> None:
    (text,) = told(tmp_path, '[server]\nhostname = "mail.example.org"\nuser = "nobody-at-all"\n')
    assert text.startswith('server.user: there is no user "nobody-at-all"')
    assert "useradd --system" in text


def test_certificates(tmp_path: Path) -> None:
    expired = certificate(tmp_path, "mail.example.org", begin=NOW - 90 * DAY, end=NOW - DAY)
    assert told(tmp_path, expired)[0].startswith(f"tls.certificate: {tmp_path}/c.pem expired on 2026-05-31\nrenew it")
    early = certificate(tmp_path, "mail.example.org", begin=NOW + DAY)
    assert told(tmp_path, early)[0].startswith(f"tls.certificate: {tmp_path}/c.pem is valid from 2026-06-02 on only")
    other = certificate(tmp_path, "www.example.net", "*.mail.example.org", "example.org")
    (text,) = told(tmp_path, other)
    assert "is for *.mail.example.org, example.org, www.example.net, and this server is mail.example.org" in text
    assert "is for no name" in told(tmp_path, certificate(tmp_path))[0]
    soon = found(tmp_path, certificate(tmp_path, "mail.example.org", end=NOW + 3 * DAY))
    assert soon.problems == [] and "expires on 2026-06-04" in soon.notes[-1]


def test_certificates_that_cannot_be_used(tmp_path: Path) -> None:
    locked = certificate(tmp_path, "mail.example.org", password=b"x")
    assert "that the key is not encrypted" in told(tmp_path, locked)[0]
    certificate(tmp_path, "mail.example.org")
    mine = (tmp_path / "k.pem").read_bytes()
    lines = certificate(tmp_path, "mail.example.org")
    (tmp_path / "k.pem").write_bytes(mine)
    assert "does not belong to" in told(tmp_path, lines)[0]
    (tmp_path / "k.pem").unlink()
    (text,) = told(tmp_path, lines)
    assert text.startswith(f"tls.key: the key file {tmp_path}/k.pem does not exist")


def test_authorities(tmp_path: Path) -> None:
    lines = f'[outgoing]\nca_file = "{tmp_path}/ca.pem"\n'
    assert "cannot be used: No such file" in told(tmp_path, lines)[0]
    (tmp_path / "ca.pem").write_text("no certificate\n")
    assert "holds no certificates in PEM form" in told(tmp_path, lines)[0]
    certificate(tmp_path, "ca.example.org")
    (tmp_path / "ca.pem").write_bytes((tmp_path / "c.pem").read_bytes())
    assert told(tmp_path, lines) == []


def test_places_that_are_not_here(tmp_path: Path) -> None:
    lines = (
        '[smtp]\nlisten = ["127.0.0.1:25", "192.0.2.1:25"]\n[lmtp]\nlisten = ["unix:/nowhere/lmtp"]\n'
        '[pop3]\nlisten = ["no-such-host.invalid:110"]\n[outgoing]\nsource_ipv4 = "192.0.2.9"\n'
        '[route.out]\nsource = "2001:db8::9"\n'
    )
    problems = found(tmp_path, lines).problems
    assert [problem.text for problem in problems] == [
        "smtp.listen: 192.0.2.1 is not an address of this machine",
        "lmtp.listen: there is no folder /nowhere",
        "pop3.listen: no-such-host.invalid is no address or host name here",
        "outgoing.source_ipv4: 192.0.2.9 is not an address of this machine",
        "route.out.source: 2001:db8::9 is not an address of this machine",
    ]
    assert problems[0].place is not None and problems[0].line[problems[0].place.column - 1 :].startswith('"192')


def test_halves_of_a_login(tmp_path: Path) -> None:
    assert told(tmp_path, '[route.out]\nlogin = "us"\n') == [
        "route.out.login: there is no password for it\ngive password_file, too"
    ]
    assert told(tmp_path, '[route.out]\npassword = "x"\n') == [
        "route.out.password: there is no login for it\ngive login, too"
    ]


def test_an_address_of_the_other_family(tmp_path: Path) -> None:
    (text,) = told(tmp_path, '[outgoing]\nsource_ipv4 = "::1"\n')
    assert text.startswith("outgoing.source_ipv4: ::1 is of the other family")


def test_a_data_folder_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert told(tmp_path, f'data = "{tmp_path}/file"\n')[0].startswith(f"server.data: {tmp_path}/file is not a folder")
    notes = found(tmp_path, f'data = "{tmp_path}/none"\n').notes
    assert f"there is no data folder at {tmp_path}/none yet: posthouse domain add makes it" in notes


def test_all_is_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "posthouse.toml"
    file.write_text(
        '[outgoing]\nca_file = "/nowhere"\n[tls]\ncertificate = "/no/c"\nkey = "/no/k"\n[server]\nuser = ""\n'
        'hostname = "localhost"\n'
    )
    done = run("config", "check", "-c", str(file))
    assert done.returncode == 78
    heads = [line.removeprefix(f"{file}:") for line in done.stderr.splitlines() if line.startswith(str(file))]
    assert [head.partition(":")[0] for head in heads] == ["2", "4", "8"]


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users may enter, as they may not enter pytest's own."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_it_looks_as_who_will_need_each_thing(open_folder: Path) -> None:
    """The key and the secret of mode 600 are read by root; the list of authorities, and the data, by the user."""
    lines = certificate(open_folder, "mail.example.org")
    for name in ("secret", "ca.pem"):
        (open_folder / name).write_bytes((open_folder / "c.pem").read_bytes())
    for name in ("k.pem", "secret", "ca.pem"):
        (open_folder / name).chmod(0o600)
    data = open_folder / "data"
    data.mkdir(mode=0o700)
    text = f'[server]\nhostname = "mail.example.org"\nuser = "nobody"\ndata = "{data}"\n{lines}'
    text += f'[outgoing]\nca_file = "{open_folder}/ca.pem"\n'
    text += f'[route.out]\nlogin = "us"\npassword_file = "{open_folder}/secret"\n'
    texts = told(open_folder, text)
    assert [each.partition(":")[0] for each in texts] == ["server.data", "outgoing.ca_file"]
    assert f"chown -R nobody: {data}" in texts[0]
    assert f"chmod a+r {open_folder}/ca.pem" in texts[1]
    os.chown(data, pwd.getpwnam("nobody").pw_uid, 0)
    (open_folder / "ca.pem").chmod(0o644)
    assert told(open_folder, text) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_an_unreadable_secret_stops_only_what_needs_it(open_folder: Path) -> None:
    secret, config, data = open_folder / "secret", open_folder / "posthouse.toml", open_folder / "data"
    secret.write_text("open sesame\n")
    secret.chmod(0o600)
    config.write_text(
        f'[server]\nhostname = "mail.example.org"\nuser = "nobody"\ndata = "{data}"\n'
        f'[route.out]\nhosts = ["127.0.0.1:9"]\nlogin = "us"\npassword_file = "{secret}"\n'
    )
    assert run("config", "check", "-c", str(config)).returncode == 0
    c = ("-c", str(config))
    program = [sys.executable, "-m", "posthouse", "domain", "add", "a.test", "--yes", *c]
    subprocess.run(program, check=True)  # in a process of its own: it becomes nobody for good
    preload()  # the program may lie where that user cannot read it
    for words in ("domain list", "queue list", "account list", "domain dns a.test", "fsck", "config show"):
        code, told = run_as_nobody(*words.split(), *c)
        assert code == 0, (words, told)
    for words in ("config check", "serve"):
        code, told = run_as_nobody(*words.split(), *c)
        assert code == 78
        assert f'route.out.password_file: "{secret}" cannot be read: Permission denied' in told
        assert "before it gives up root" in told


def run_as_nobody(*words: str) -> tuple[int, str]:
    """Exit code and what was said on standard error."""

    def work() -> bytes:
        done = run(*words)
        return json.dumps([done.returncode, done.stderr]).encode()

    code, told = json.loads(answer_as(find_user("nobody"), work))
    return code, told
