"""A server that starts on a bad disk: on a full one it comes up, so that people can delete; else it says what is wrong.

File systems of their own need root; who runs the tests as somebody else sees this file fail, not skip.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.outside.imap_wire import ImapWire
from tests.outside.maildrop import Maildrop, collect
from tests.outside.program import Program
from tests.outside.wire import Wire

ALICE, BOB = "alice@example.test", "bob@example.test"


@contextmanager
def mounted(folder: Path, *how: str) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.fail("this test mounts a small file system, which needs root: run `make test` as root")
    folder.mkdir()
    subprocess.run(["mount", *how, str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def small_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A disk of 24 MB."""
    if request.param == "tmpfs":
        with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=24m", "tmpfs") as folder:
            yield folder
        return
    with ext4(tmp_path) as folder:
        yield folder


@contextmanager
def ext4(folder: Path) -> Iterator[Path]:
    image = folder / "image"
    image.touch()
    os.truncate(image, 24 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", str(image)], check=True)
    with mounted(folder / "disk", "-o", "loop", str(image)) as disk:
        yield disk


def send(program: Program, recipient: str, subject: str) -> str:
    with Wire(program.ports.smtp) as wire:
        wire.hello()
        wire.mail(recipient)
        return wire.data(f"Subject: {subject}\r\n\r\nx\r\n".encode())


def fill(disk: Path) -> None:
    with (disk / "filler").open("ab", buffering=0) as filler:
        for octets in (1 << 20, 4096, 1):
            try:
                while True:
                    filler.write(bytes(octets))
            except OSError:
                continue


def imap_port(program: Program) -> int:
    return program.offset + 143


@pytest.mark.parametrize(
    ("small_disk", "end", "reserve"),
    [
        ("tmpfs", "stopped", "kept"),
        ("tmpfs", "killed", "kept"),
        ("tmpfs", "stopped", "gone"),
        ("ext4", "stopped", "kept"),
        ("ext4", "killed", "gone"),
    ],
    indirect=["small_disk"],
)
def test_on_a_full_disk(small_disk: Path, end: str, reserve: str) -> None:
    program = Program(small_disk / "data")
    try:
        program.start()
        for number in range(4):
            assert send(program, ALICE, f"number {number};").startswith("250")
            assert send(program, BOB, f"number {number};").startswith("250")
        with ImapWire.open(imap_port(program), ALICE, "INBOX") as imap:
            imap.ok(b"SEARCH BODY x")  # the index has something
        if end == "stopped":
            program.stop()
        else:
            program.kill()
        if reserve == "gone":
            os.truncate(small_disk / "data" / "reserve", 0)
        fill(small_disk)

        program.start()
        with ImapWire.open(imap_port(program), ALICE, "INBOX") as imap:
            assert b"number 1;" in b"".join(imap.ok(b"FETCH 2 BODY.PEEK[]").untagged)
        more = send(program, ALICE, "more")
        assert more.startswith("452") or (
            more.startswith("250") and reserve == "kept"
        )  # taken back whole, and room left
        with Maildrop.open(program.ports.pop3, BOB) as drop:
            assert b"number 0;" in drop.retrieve(1)
            drop.command("DELE 1")
            drop.quit()
        assert len(collect(program.ports.pop3, BOB)) == 3
        with ImapWire.open(imap_port(program), ALICE, "INBOX") as imap:
            imap.ok(b"STORE 1:2 +FLAGS (\\Deleted)")
            imap.ok(b"EXPUNGE")
        assert len(collect(program.ports.pop3, ALICE)) == 2 + more.startswith("250")
        (small_disk / "filler").unlink()
        assert send(program, ALICE, "room again").startswith("250")  # nobody restarted it
        assert program.stop() == 0
        assert "Traceback" not in program.log
    finally:
        program.kill()


def refused(data: Path, *command: str) -> tuple[int, str]:
    """How a start ends that cannot succeed: its exit code and what it says."""
    done = subprocess.run(
        [sys.executable, "-m", "posthouse", *command], capture_output=True, text=True, check=False, timeout=60
    )
    assert "Traceback" not in done.stderr
    assert "bug" not in done.stderr
    assert str(data) in done.stderr
    return done.returncode, done.stderr


def test_on_a_read_only_disk(tmp_path: Path) -> None:
    with ext4(tmp_path) as disk:
        program = Program(disk / "data")
        try:
            program.start()
            program.stop()
            subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
            code, told = refused(program.data, "dev", "--data", str(program.data), "--port-offset", str(program.offset))
            assert code == 69
            assert "is read-only" in told
            assert f"mount -o remount,rw {disk}" in told
            subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
            program.start()
        finally:
            program.kill()


def test_a_disk_that_turns_read_only_while_mail_is_read(tmp_path: Path) -> None:
    with ext4(tmp_path) as disk:
        program = Program(disk / "data")
        try:
            program.start()
            for number in range(3):
                assert send(program, ALICE, f"number {number};").startswith("250")
                assert send(program, BOB, f"number {number};").startswith("250")
            subprocess.run(["mount", "-o", "remount,abort", str(disk)], check=True)
            assert send(program, ALICE, "more").startswith("451")
            for _ in range(2):
                assert len(collect(program.ports.pop3, BOB)) == 3
            with Maildrop.open(program.ports.pop3, BOB) as drop:
                drop.command("DELE 1")
                drop.send(b"QUIT\r\n")
                assert drop.line().startswith(b"-ERR")  # it was not done, and that is said
            with ImapWire.open(imap_port(program), ALICE, "INBOX") as imap:  # the first time, so folders are missing
                assert b"number 1;" in b"".join(imap.ok(b"FETCH 2 BODY.PEEK[]").untagged)
                assert imap.give(b"STORE 1 +FLAGS (\\Flagged)").status == "NO"
            assert program.stop() == 0
            assert "Traceback" not in program.log
        finally:
            program.kill()


def test_on_a_disk_where_there_is_no_room_at_all(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=1m,nr_inodes=4", "tmpfs") as disk:
        fill(disk)
        data = disk / "data"
        code, told = refused(data, "dev", "--data", str(data), "--port-offset", str(Program(data).offset))
        assert code == 69
        assert "is full" in told
