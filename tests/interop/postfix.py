"""Debian's Postfix as the neighbour that relays to us: an instance of its own in a temporary folder, on a high port."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

import pytest
from tests.interop.tools import tool
from tests.outside.wire import Wire


class Postfix:
    """A running instance that hands everything for example.test to one next hop."""

    def __init__(self, folder: Path, port: int, hop: str) -> None:
        self.port = port
        self._folder = folder
        self._etc = folder / "etc"
        for name in ("etc", "queue", "data"):
            (folder / name).mkdir()
        shutil.chown(folder / "data", "postfix")
        (self._etc / "main.cf").write_text(self._main(hop))
        (self._etc / "master.cf").write_text(self._master())
        for name in ("dynamicmaps.cf", "postfix-files"):
            if (source := Path("/etc/postfix") / name).exists():
                shutil.copy(source, self._etc)

    def _main(self, hop: str) -> str:
        return f"""compatibility_level = 3.6
queue_directory = {self._folder}/queue
data_directory = {self._folder}/data
maillog_file = {self._folder}/log
maillog_file_prefixes = {self._folder}
myhostname = neighbour.test
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
alias_database =
relay_domains = example.test
transport_maps = inline:{{ {{ example.test = {hop} }} }}
default_transport = error:nothing leaves this machine
smtp_tls_security_level = may
smtp_tls_loglevel = 1
smtputf8_enable = yes
message_size_limit = 52428800
default_process_limit = 20
"""

    def _master(self) -> str:
        lines = []
        for line in Path("/usr/share/postfix/master.cf.dist").read_text().splitlines():
            words = line.split()
            if line[:1].isspace() or line.startswith("#") or len(words) < 8:
                lines.append(line)
                continue
            if words[:2] == ["smtp", "inet"]:
                words[0] = f"127.0.0.1:{self.port}"
            words[4] = "n"  # no chroot: the folder has no copies of system files
            lines.append(" ".join(words))
        return "\n".join(lines) + "\n"

    def _postfix(self, action: str) -> None:
        done = subprocess.run(
            [tool("postfix"), "-c", str(self._etc), action], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"postfix {action}: {done.stdout}{done.stderr}\n{self.log}"

    @property
    def log(self) -> str:
        """What Postfix has logged."""
        path = self._folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def queue(self) -> int:
        """How many messages it still holds."""
        names = ("maildrop", "incoming", "active", "deferred")
        return sum(path.is_file() for name in names for path in (self._folder / "queue" / name).rglob("*"))

    def start(self) -> None:
        """Start and wait for the banner."""
        self._postfix("start")
        for _ in range(200):
            try:
                with Wire(self.port, timeout=5) as wire:
                    assert wire.reply().startswith("220")
                    return
            except ConnectionError:
                time.sleep(0.05)
        raise AssertionError(f"no banner:\n{self.log}")

    def stop(self) -> None:
        """Stop and wait until the master process is gone."""
        pid = (self._folder / "queue/pid/master.pid").read_text().strip()
        self._postfix("stop")
        for _ in range(500):
            if not Path(f"/proc/{pid}").exists():
                return
            time.sleep(0.02)
        raise AssertionError("Postfix does not stop")

    def wait_until_drained(self, seconds: float = 60.0) -> None:
        """Until the queue is empty; a message that was deferred fails with the log."""
        limit = time.monotonic() + seconds
        while self.queue():
            assert "status=deferred" not in self.log and "status=bounced" not in self.log, self.log
            assert time.monotonic() < limit, f"{self.queue()} left\n{self.log}"
            time.sleep(0.05)
        assert "status=deferred" not in self.log and "status=bounced" not in self.log, self.log


@contextmanager
def relaying(port: int, hop: str) -> Iterator[Postfix]:
    """A started instance. Its daemons give up root, so its folder must let other users pass through."""
    tool("postfix")
    if os.geteuid() != 0:
        pytest.fail("Postfix runs only when started as root: run the tests as root, in a container if need be")
    folder = Path(mkdtemp(prefix="neighbour-"))
    folder.chmod(0o755)
    neighbour = Postfix(folder, port, hop)
    neighbour.start()
    try:
        yield neighbour
    finally:
        neighbour.stop()
        shutil.rmtree(folder)
