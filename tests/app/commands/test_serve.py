"""posthouse serve, the whole program: workers, signals, privileges, certificates."""

import contextlib
import datetime
import os
import pwd
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from posthouse.app.commands.serve import _who_runs
from posthouse.app.process.certificate import self_signed
from posthouse.database.server_lock import ServerLock
from tests.outside.maildrop import collect
from tests.outside.program import PASSWORD, free_offset, process_tree
from tests.outside.wire import Wire


@dataclass
class Server:
    """A running `posthouse serve`."""

    process: subprocess.Popen[bytes]
    config: Path
    offset: int
    log: Path

    def port(self, standard: int) -> int:
        return standard + self.offset

    def workers(self) -> list[int]:
        return [pid for pid in process_tree(self.process.pid) if pid != self.process.pid]

    def send(self, recipient: str = "alice@example.test") -> str:
        with Wire(self.port(25)) as wire:
            wire.hello()
            wire.mail(recipient)
            return wire.data(b"Subject: hi\r\n\r\nx\r\n")


def run(config: Path, *command: str, stdin: str = "") -> str:
    done = subprocess.run(
        [sys.executable, "-m", "posthouse", *command, "-c", str(config)],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def serving(folder: Path, *, workers: int = 2, user: str = "", ends: int = 0, drain: str = "3s") -> Iterator[Server]:
    offset = free_offset()
    config = folder / "posthouse.toml"
    config.write_text(
        f'[server]\nhostname = "mail.example.test"\ndata = "{folder / "data"}"\nuser = "{user}"\n'
        f'workers = {workers}\ndrain = "{drain}"\n'
        f'[smtp]\nlisten = ["127.0.0.1:{25 + offset}"]\n'
        f'[submission]\nlisten = ["127.0.0.1:{587 + offset}"]\nlisten_tls = ["127.0.0.1:{465 + offset}"]\n'
        f'[pop3]\nlisten = ["127.0.0.1:{110 + offset}"]\nlisten_tls = ["127.0.0.1:{995 + offset}"]\n'
        f'[imap]\nlisten = ["127.0.0.1:{143 + offset}"]\nlisten_tls = ["127.0.0.1:{993 + offset}"]\n'
        "[login]\nplain_on_loopback = true\n"
    )
    run(config, "domain", "add", "example.test", "--yes")
    run(config, "account", "add", "alice@example.test", "--password-stdin", stdin=PASSWORD + "\n")
    log = folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "posthouse", "serve", "-c", str(config)],
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    server = Server(process, config, offset, log)
    try:
        until(lambda: answers(server), log)
        yield server
        process.terminate()
        assert process.wait(60) == ends, log.read_text()
        assert "Traceback" not in log.read_text()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def answers(server: Server) -> bool:
    try:
        with Wire(server.port(25)) as wire:
            return wire.reply().startswith("220")
    except OSError:
        return False


def connects(server: Server) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", server.port(25))):
            return True
    except OSError:
        return False


def until(condition: object, log: Path, seconds: float = 60.0) -> None:
    assert callable(condition)
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, log.read_text()
        time.sleep(0.02)


def sockets(folder: Path) -> dict[str, int]:
    """What stands in a folder, and since when."""
    made: dict[str, int] = {}
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):  # it is replaced this moment
            made[path.name] = path.stat().st_ctime_ns
    return made


def test_workers_share_one_store_and_are_replaced(tmp_path: Path) -> None:
    bus = tmp_path / "data" / "bus"
    with serving(tmp_path, workers=2) as server:
        until(lambda: len(server.workers()) == 2, server.log)
        for _ in range(20):  # the kernel spreads them over both
            assert server.send().startswith("250")
        assert len(collect(server.port(110), "alice@example.test")) == 20
        before = sockets(bus)
        assert before.keys() == {"0", "1"}
        victim = server.workers()[0]
        os.kill(victim, signal.SIGKILL)
        until(lambda: len(server.workers()) == 2 and victim not in server.workers(), server.log)
        for _ in range(10):
            until(lambda: answers(server), server.log)
        assert server.send().startswith("250")
        assert len(collect(server.port(110), "alice@example.test")) == 21
        until(lambda: sockets(bus).keys() == before.keys() and sockets(bus) != before, server.log)
    assert sockets(bus) == {}


def test_a_main_process_that_was_killed_frees_its_ports_and_its_data(tmp_path: Path) -> None:
    with contextlib.ExitStack() as undo:
        server = undo.enter_context(serving(tmp_path, workers=2, ends=-signal.SIGKILL, drain="600s"))
        workers = server.workers()
        busy = undo.enter_context(Wire(server.port(25)))
        busy.hello()
        busy.mail()
        busy.expect(b"DATA", "354")
        server.process.kill()
        server.process.wait()
        until(lambda: not connects(server), server.log)
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), server.log, 30.0)


def test_it_is_told_that_a_server_is_still_stopping(tmp_path: Path) -> None:
    assert _who_runs(tmp_path) == ""
    lock = ServerLock.acquire(tmp_path)
    assert "runs already" in _who_runs(tmp_path)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (tmp_path / "server.lock").write_text(f"{gone.pid}\n")
    assert f"(process {gone.pid}) is still stopping" in _who_runs(tmp_path)
    lock.release()
    assert _who_runs(tmp_path) == ""


def test_stopping_lets_a_message_finish(tmp_path: Path) -> None:
    with serving(tmp_path, workers=2) as server, Wire(server.port(25)) as wire:
        wire.hello()
        wire.mail()
        wire.expect(b"DATA", "354")
        server.process.terminate()
        time.sleep(0.3)
        wire.send(b"Subject: late\r\n\r\nx\r\n.\r\n")
        assert wire.reply().startswith("250")
        assert wire.reply().startswith("421")


def test_a_new_certificate_without_a_restart(tmp_path: Path) -> None:
    with serving(tmp_path, workers=1) as server:
        before = ssl.get_server_certificate(("127.0.0.1", server.port(995)))
        self_signed(tmp_path / "new", ["new.example.test"], datetime.datetime.now(datetime.UTC))
        for name in ("key.pem", "certificate.pem"):
            shutil.copy(tmp_path / "new" / name, tmp_path / "data" / "tls" / name)
        server.process.send_signal(signal.SIGHUP)
        until(lambda: "certificate reloaded" in server.log.read_text(), server.log)
        assert ssl.get_server_certificate(("127.0.0.1", server.port(995))) != before


def test_it_says_what_listens_where(tmp_path: Path) -> None:
    with serving(tmp_path, workers=2) as server:
        until(lambda: "ready, serving" in server.log.read_text(), server.log)
        (line,) = [line for line in server.log.read_text().splitlines() if "ready, serving" in line]
        assert "hostname=mail.example.test" in line and f"data={tmp_path}/data" in line
        for service, port in (("smtp", 25), ("submissions", 465), ("pop3", 110), ("imaps", 993)):
            assert f" {service}=127.0.0.1:{server.port(port)}" in line
        assert "lmtp" not in line


def test_what_sighup_does_not_reread_is_said(tmp_path: Path) -> None:
    with serving(tmp_path, workers=1) as server:
        until(lambda: "ready, serving" in server.log.read_text(), server.log)
        server.process.send_signal(signal.SIGHUP)
        until(lambda: "certificate reloaded" in server.log.read_text(), server.log)
        assert "other settings need a restart" in server.log.read_text()
        assert "settings were changed" not in server.log.read_text()
        before = server.config.read_text()
        server.config.write_text(before + '[smtp_typo]\nmax_size = "1MB"\n')
        server.process.send_signal(signal.SIGHUP)
        until(lambda: "no start would succeed" in server.log.read_text(), server.log)
        assert 'reason="unknown section [smtp_typo]"' in server.log.read_text()
        server.config.write_text(before + '[log]\nlevel = "debug"\n')
        server.process.send_signal(signal.SIGHUP)
        until(lambda: "they take effect at the next start settings=log.level" in server.log.read_text(), server.log)


def test_root_is_given_up() -> None:
    """The data stands where an ordinary user may go."""
    if os.geteuid() != 0:
        pytest.fail("giving up root can only be seen as root: run `make test` as root")
    user = pwd.getpwnam("nobody")
    folder = Path(tempfile.mkdtemp(prefix="posthouse-serve-", dir="/var/tmp"))
    folder.chmod(0o755)
    try:
        with serving(folder, workers=1, user="nobody") as server:
            for pid in process_tree(server.process.pid):
                status = Path(f"/proc/{pid}/status").read_text()
                uids = next(line for line in status.splitlines() if line.startswith("Uid:")).split()[1:]
                assert set(uids) == {str(user.pw_uid)}, status
            assert server.send().startswith("250")
            assert {path.stat().st_uid for path in (folder / "data").rglob("*")} == {user.pw_uid}
            run(server.config, "account", "add", "bob@example.test", "--generate")  # as root, beside it
            assert server.send("bob@example.test").startswith("250")
            assert {path.stat().st_uid for path in (folder / "data").rglob("*")} == {user.pw_uid}
    finally:
        shutil.rmtree(folder)
