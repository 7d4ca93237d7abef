"""posthouse dev --strict, the whole program: what it prints, what it keeps, how it ends, and commands beside it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.outside.maildrop import Maildrop, Pop3Error, collect
from tests.outside.program import PASSWORD, Program, ProgramError, free_offset, running
from tests.outside.wire import Wire


def send(program: Program, recipient: str, subject: str = "hi") -> str:
    with Wire(program.ports.smtp) as wire:
        wire.hello()
        wire.expect(b"MAIL FROM:<a@client.test>", "250")
        answer = wire.ask(f"RCPT TO:<{recipient}>".encode())
        return wire.data(f"Subject: {subject}\r\n\r\nx\r\n".encode()) if answer.startswith("250") else answer


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])  # Ctrl-C; a terminal that is closed
def test_what_a_person_sees_and_how_it_ends(tmp_path: Path, number: signal.Signals) -> None:
    offset = free_offset()
    process = subprocess.Popen(
        [sys.executable, "-m", "posthouse", "dev", "--strict", "--port-offset", str(offset)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert process.stdout is not None and process.stderr is not None
    lines: list[str] = []
    while not lines or "Ctrl-C" not in lines[-1]:
        lines.append(process.stdout.readline())
        assert lines[-1], process.stderr.read()
    text = "".join(lines)
    for word in (
        "ready",
        "alice@example.test",
        "bob@example.test",
        "swaks",
        "curl",
        str(offset + 25),
        str(offset + 995),
    ):
        assert word in text
    assert "\x1b" not in text  # no terminal, no colour
    assert list(tmp_path.iterdir())
    process.send_signal(number)
    assert process.wait(10) == 0
    assert process.stderr.read() == ""
    assert list(tmp_path.iterdir()) == []  # nothing is left behind
    process.stdout.close()
    process.stderr.close()


def test_a_kept_folder_is_continued_with_its_passwords(tmp_path: Path) -> None:
    data = tmp_path / "data"
    command = [sys.executable, "-m", "posthouse", "dev", "--strict", "--data", str(data), "--json", "--port-offset"]
    said = []
    for _ in range(2):
        process = subprocess.Popen([*command, str(free_offset())], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        said.append(json.loads(process.stdout.readline()))
        process.terminate()
        assert process.wait(10) == 0
        process.stdout.close()
    assert said[0]["accounts"] == said[1]["accounts"]
    assert len(said[0]["accounts"][0]["password"]) >= 12
    assert set(said[0]["ports"]) == {"smtp", "submission", "submissions", "lmtp", "pop3", "pop3s", "imap", "imaps"}


def test_catch_all_and_commands_while_it_runs(tmp_path: Path) -> None:
    with running(tmp_path / "data") as program:
        assert send(program, "whoever@example.test").startswith("250")
        assert len(collect(program.ports.pop3, "alice@example.test")) == 1

        program.add_account("carol")  # seen at once: carol's mail no longer goes to alice
        assert send(program, "carol@example.test").startswith("250")
        assert len(collect(program.ports.pop3, "carol@example.test")) == 1

        program.run("account", "password", "carol@example.test", "--password-stdin", stdin="changed\n")
        with pytest.raises(Pop3Error, match="AUTH"):
            Maildrop.open(program.ports.pop3, "carol@example.test")
        with Maildrop.open(program.ports.pop3, "carol", "changed") as drop:
            drop.quit()

        program.run("account", "quota", "carol@example.test", "100B")
        assert send(program, "carol@example.test").startswith("552 5.2.2")

        program.run("alias", "remove", "*@example.test")
        assert send(program, "whoever@example.test").startswith("550 5.1.1")
        program.run("alias", "add", "team@example.test", "alice@example.test", "bob@example.test")
        assert send(program, "team@example.test").startswith("250")
        assert len(collect(program.ports.pop3, "bob@example.test")) == 1

        listed = {row["address"]: row for row in json.loads(program.run("account", "list", "--json"))["accounts"]}
        assert listed["carol@example.test"]["messages"] == 1 and listed["carol@example.test"]["quota"] == 100
        program.run("account", "remove", "carol@example.test", "--yes")
        assert send(program, "carol@example.test").startswith("550 5.1.1")
        found = json.loads(program.run("fsck", "--json"))
        assert found["findings"] == [] and found["bodies"] >= 2


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with running(tmp_path / "data") as program:
        other = Program(tmp_path / "other")
        other.offset = program.offset
        with pytest.raises(ProgramError, match=r"port \d+ \(smtp\) is already in use"):
            other.start()


def test_a_folder_in_use_is_named(tmp_path: Path) -> None:
    with running(tmp_path / "data"):
        other = Program(tmp_path / "data")
        with pytest.raises(ProgramError, match="a server runs on this data already"):
            other.start()


def test_fsck_names_whose_mail_is_damaged(tmp_path: Path) -> None:
    with running(tmp_path / "data") as program:
        for subject in ("first", "second"):
            assert send(program, "bob@example.test", subject).startswith("250")
    (pack,) = (tmp_path / "data" / "packs").glob("*.pack")
    content = bytearray(pack.read_bytes())
    content[content.index(b"Subject: second") + 3] ^= 1
    pack.write_bytes(content)
    done = subprocess.run(
        [sys.executable, "-m", "posthouse", "fsck", "--data", str(tmp_path / "data")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "bob@example.test" in done.stdout and "damaged" in done.stdout
    with (
        running(tmp_path / "data") as program,
        Maildrop.open(program.ports.pop3, "bob@example.test") as drop,
    ):
        assert b"Subject: first" in drop.retrieve(1)  # the other message is served


def test_passwords_work_by_every_mechanism(tmp_path: Path) -> None:
    with running(tmp_path / "data") as program, Wire(program.ports.submission) as wire:
        assert "AUTH SCRAM-SHA-256" in wire.hello()
        assert wire.login("alice", PASSWORD).startswith("235")
        wire.mail("bob@example.test", "alice@example.test")
        assert wire.data(b"Subject: x\r\n\r\ny\r\n").startswith("250")
        wire.expect(b"MAIL FROM:<alice@example.test>", "250")
        answer = wire.expect(b"RCPT TO:<somebody@elsewhere.test>", "550 5.7.1")
        assert "does not send mail to other servers" in answer
