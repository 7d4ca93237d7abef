"""A full disk: 452 and never 250, collecting and deleting go on, and it recovers by itself.

The data folder stands on a small tmpfs of its own, which needs root; who runs the tests as somebody else gets the same
from tests/mailstore with an injected error, and this file says so by failing, not by skipping.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.outside.maildrop import Maildrop, collect
from tests.outside.program import Program
from tests.outside.wire import Wire

BODY = (b"x" * 1022 + b"\r\n") * 200


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.fail("this test mounts a small file system, which needs root: run `make test` as root")
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def send(program: Program, number: int) -> str:
    with Wire(program.ports.smtp) as wire:
        wire.hello()
        wire.mail()
        return wire.data(b"Subject: %d\r\n\r\n" % number + BODY)


def test_full_and_free_again(small_disk: Path, tmp_path: Path) -> None:
    program = Program(small_disk / "data")
    try:
        program.start()
        kept, answer = 0, "250"
        while answer.startswith("250"):
            answer = send(program, kept)
            kept += answer.startswith("250")
            assert kept < 1000, "the disk never filled"
        assert answer.startswith("452 4.3.1"), answer
        for _ in range(10):
            assert send(program, 9999).startswith("452 4.3.1")
        found = collect(program.ports.pop3, "alice@example.test")
        assert len(found) == kept  # what was acknowledged is there, what was not is not
        assert all(message.endswith(BODY) for message in found.values())

        with Maildrop.open(program.ports.pop3, "alice@example.test") as drop:
            for number in range(1, kept // 2 + 1):
                drop.command(f"DELE {number}")
            drop.quit()  # deleting works when the disk is full
        assert len(collect(program.ports.pop3, "alice@example.test")) == kept - kept // 2

        subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
        assert send(program, 7777).startswith("250")  # nobody restarted it
        program.kill()
        program.start()
        found = collect(program.ports.pop3, "alice@example.test")
        assert len(found) == kept - kept // 2 + 1
        assert "error" not in program.run("fsck")
        assert "Traceback" not in program.log
    finally:
        program.kill()
