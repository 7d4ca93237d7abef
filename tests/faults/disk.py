"""File systems that a test may fill, halt and take the power from. All of it needs root, and fails without."""

import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import pytest

from tests.outside.relay import until

ROOT = Path(__file__).parents[2]
SECONDS = 60.0  # until a disk that is written to reaches a request


def need_root() -> None:
    if os.geteuid() != 0:
        pytest.fail("this test mounts a file system of its own, which needs root: run `make test` as root")


def call(*words: str | Path) -> None:
    """Run a system command; it must succeed."""
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"


@contextmanager
def mounted(what: Path | str, folder: Path, *options: str) -> Iterator[Path]:
    """Mount, and unmount at the end, once the last process that was killed has let go of its files."""
    folder.mkdir(exist_ok=True)
    call("mount", *options, what, folder)
    try:
        yield folder
    finally:
        until(lambda: subprocess.run(["umount", str(folder)], capture_output=True).returncode == 0, lambda: str(folder))


def make_ext4(image: Path) -> None:
    """A file with an empty ext4 in it, as mkfs.ext4 makes it by itself: data=ordered, with barriers.

    Smaller ones than that would get blocks of 1 KiB, which no disk for mail has.
    """
    call("truncate", "-s", "600M", image)
    call("mkfs.ext4", "-q", "-F", image)


class CachedDisk:
    """A mounted ext4 on a disk with a write cache; disk_server.py is the disk.

    `folder`: where the file system is mounted. `images`: a folder in memory, for what is made of it.
    """

    def __init__(self, place: Path, folder: Path) -> None:
        need_root()
        self.folder = folder
        self.images = place / "images"
        self._place = place
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        device, image = self._place / "device", self.images / "empty.img"
        device.mkdir(exist_ok=True)
        with ExitStack() as stack:
            stack.enter_context(mounted("tmpfs", self.images, "-t", "tmpfs", "-o", "size=3g"))
            make_ext4(image)
            command = [sys.executable, "-m", "tests.faults.disk_server", str(image), str(device)]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
            assert process.stdin is not None and process.stdout is not None
            self._stdin: IO[str] = process.stdin
            self._stdout: IO[str] = process.stdout
            stack.callback(process.wait)
            stack.callback(process.stdout.close)
            stack.callback(process.stdin.close)
            assert self._line() == "ready"
            stack.callback(call, "umount", "--lazy", device)  # the loop device lets go of it a moment later
            stack.enter_context(mounted(device / "disk", self.folder, "-o", "loop"))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.go()
        self._stack.close()

    def halt(self, requests: int) -> None:
        """Stop at the request with that number from now, and wait until it is reached. Whoever writes then waits."""
        self._say(f"halt {requests}")
        assert self._line() == "halted"

    def image(self, path: Path, how: str, seed: int) -> int:
        """What the disk holds if the power goes at this instant; how many writes were in its cache."""
        self._say(f"image {path} {how} {seed}")
        word, count = self._line().split()
        assert word == "image"
        return int(count)

    def go(self) -> None:
        """Go on after a halt."""
        self._say("go")
        while self._line() != "going":
            continue  # a halt that nobody waited for

    def _say(self, command: str) -> None:
        self._stdin.write(command + "\n")
        self._stdin.flush()

    def _line(self) -> str:
        came, _, _ = select.select([self._stdout], [], [], SECONDS)
        assert came, "the disk does not answer"
        line = self._stdout.readline()
        assert line, "the disk has ended"
        return line.strip()
