"""What only root may read, used by a server and by commands that give up root: program, certificate, CSV, secrets."""

import os
import pwd
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

import posthouse
from posthouse.app.process.certificate import self_signed
from tests.app.commands.test_serve import until
from tests.app.folders import configure
from tests.outside.maildrop import collect
from tests.outside.program import PASSWORD, process_tree
from tests.outside.wire import Wire

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="giving up root can only be seen as root: make test as root")

NOBODY = pwd.getpwnam("nobody")


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where an ordinary user may go, as not in pytest's own."""
    with tempfile.TemporaryDirectory(prefix="posthouse-root-", dir="/var/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    """Where only root may go, as below /root."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    shutil.copytree(Path(posthouse.__file__).parent, home / "src" / "posthouse")
    return home


def command(closed: Path, *words: str) -> list[str]:
    return ["env", f"PYTHONPATH={closed / 'src'}", sys.executable, "-m", "posthouse", *words]


def run(closed: Path, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(closed, *words), input=stdin, capture_output=True, text=True, check=False)


def as_certbot_leaves_them(folder: Path, name: str = "mail.example.test") -> Path:
    """live/NAME/ with symbolic links into archive/NAME/, all of it closed to others."""
    for part in ("live", "archive"):
        (folder / part).mkdir(mode=0o700, parents=True, exist_ok=True)
    live, archive = folder / "live" / name, folder / "archive" / name
    live.mkdir(exist_ok=True)
    archive.mkdir(exist_ok=True)
    number = len(list(archive.glob("privkey*"))) + 1
    made = self_signed(folder / f"made{number}", [name], datetime.now(UTC))
    for source, kind in ((made.certificate, "fullchain"), (made.key, "privkey")):
        target = archive / f"{kind}{number}.pem"
        shutil.copy(source, target)
        target.chmod(0o600)
        link = live / f"{kind}.new"
        link.symlink_to(f"../../archive/{name}/{target.name}")
        link.rename(live / f"{kind}.pem")
    return live


def test_a_server_whose_program_certificate_and_secrets_are_roots(folder: Path, closed: Path) -> None:
    live = as_certbot_leaves_them(closed / "letsencrypt")
    secret = closed / "relay-password"
    secret.write_text("open sesame\n")
    secret.chmod(0o600)
    config, offset = configure(folder, folder / "data")
    text = config.read_text().replace('user = ""', 'user = "nobody"')
    text = text.replace("listen_tls = []", f'listen_tls = ["127.0.0.1:{995 + offset}"]', 1)
    text += f'[tls]\ncertificate = "{live / "fullchain.pem"}"\nkey = "{live / "privkey.pem"}"\nreload = "1h"\n'
    text += f'[route.relay]\nhosts = ["127.0.0.1:9"]\nlogin = "us"\npassword_file = "{secret}"\n'
    config.write_text(text)
    config.chmod(0o600)
    people = closed / "people.csv"
    people.write_text(f"address,password\nalice@example.test,{PASSWORD}\n")
    people.chmod(0o600)
    c = str(config)
    for words in (
        ("domain", "add", "example.test", "--yes"),
        ("account", "import", str(people)),
        ("account", "list"),
        ("domain", "dns", "example.test"),
        ("queue", "list"),
        ("alias", "add", "büro@example.test", "alice@example.test"),
        ("fsck",),
    ):
        done = run(closed, *words, "-c", c)
        assert done.returncode == 0, (words, done.stderr)
    assert run(closed, "queue", "show", "01m86vpsh4", "-c", c).stderr.startswith("error: no message 01m86vpsh4")
    log = folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(command(closed, "serve", "-c", c), stdout=out, stderr=out, start_new_session=True)
    try:
        until(lambda: "serving" in log.read_text(), log)
        assert "the program stands where the server's user may not read it" in log.read_text()
        served = ssl.get_server_certificate(("127.0.0.1", 995 + offset))
        assert served.strip() == (live / "fullchain.pem").read_text().strip()
        with Wire(25 + offset) as wire:
            wire.hello()
            wire.mail("alice@example.test")
            assert wire.data(b"Subject: =?big5?B?pKSk5Q==?=\r\n\r\nx\r\n").startswith("250")
        assert len(collect(110 + offset, "alice@example.test")) == 1
        as_certbot_leaves_them(closed / "letsencrypt")  # renewed
        process.send_signal(signal.SIGHUP)
        until(lambda: ssl.get_server_certificate(("127.0.0.1", 995 + offset)) != served, log)
        roots = [pid for pid in process_tree(process.pid) if Path(f"/proc/{pid}").stat().st_uid == 0]
        assert len(roots) == 1  # the reader of the certificate
        assert {path.stat().st_uid for path in (folder / "data").rglob("*")} == {NOBODY.pw_uid}
        assert (folder / "data" / "tls" / "copy-key.pem").stat().st_mode & 0o777 == 0o600
        process.kill()  # even so nothing of it stays
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in roots), log)
        for word in ("Traceback", "ImportError", "ModuleNotFoundError", "reason="):
            assert word not in log.read_text(), log.read_text()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


_LATE_WORK = """
import builtins, codecs, pathlib, pwd, sys
from posthouse.app.process.privileges import become
from posthouse.app.system_users import find_user
become(find_user("nobody"))
class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if not name.startswith("dns.rdtypes.IN."):  # tried first for types that are the same in all classes
            print("wanted:", name)
sys.meta_path.insert(0, Finder)
import dns.rdata, dns.rdataclass, dns.rdatatype
for kind in ("A", "AAAA", "MX", "TXT", "TLSA", "CNAME", "SOA", "RRSIG", "DS"):
    dns.rdata.get_rdata_class(dns.rdataclass.IN, dns.rdatatype.from_text(kind))
for name in ("big5", "gb18030", "koi8-r", "iso-2022-jp", "euc-kr", "shift_jis", "windows-1252", "utf-16", "utf-7"):
    codecs.lookup(name)
from posthouse.message.address import to_a_labels
to_a_labels("b\\u00fccher.example")
from posthouse.accounts.passwords import PasswordHasher
PasswordHasher().make("a good password 1")
from posthouse.app.process.certificate import _make
import datetime
_make(["b\\u00fccher.example"], datetime.datetime.now(datetime.UTC))
from posthouse.app.config.problems import nearest
nearest("a", ["ab"])
from posthouse.app.output import progress
import posthouse.sessions.imap.session, posthouse.delivery.outbound.agent
import posthouse.app.process.worker, posthouse.app.commands.fsck, posthouse.app.outgoing
"""


def test_nothing_is_imported_after_root_was_given_up(closed: Path) -> None:
    words = ["env", f"PYTHONPATH={closed / 'src'}", sys.executable, "-c", _LATE_WORK]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_certificate_that_is_not_there(folder: Path, closed: Path) -> None:
    config, _ = configure(folder, folder / "data")
    config.write_text(
        config.read_text().replace('user = ""', 'user = "nobody"') + '[tls]\ncertificate = "/nowhere/c"\nkey = "/n/k"\n'
    )
    assert run(closed, "domain", "add", "example.test", "--yes", "-c", str(config)).returncode == 0
    done = run(closed, "serve", "-c", str(config))
    assert done.returncode == 78
    assert "error: /nowhere/c cannot be read: No such file or directory" in done.stderr
