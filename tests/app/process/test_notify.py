"""The messages to systemd."""

import os
import socket
from pathlib import Path

from posthouse.app.process.notify import Notifier


def test_states_are_sent(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "notify"))
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        notifier.ready()
        notifier.reloading(17)
        notifier.stopping()
        assert [heard.recv(100) for _ in range(3)] == [b"READY=1", b"RELOADING=1\nMONOTONIC_USEC=17", b"STOPPING=1"]


def test_abstract_names(tmp_path: Path) -> None:
    name = f"posthouse-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind("\0" + name)
        Notifier({"NOTIFY_SOCKET": "@" + name}).ready()
        assert heard.recv(100) == b"READY=1"


def test_nobody_there_is_no_error(tmp_path: Path) -> None:
    Notifier({}).ready()
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready()
    assert not (tmp_path / "gone").exists()
