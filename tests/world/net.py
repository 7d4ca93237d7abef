"""A network of its own: hosts that are network namespaces, joined by a bridge that has its namespace too.

Nothing of it is seen outside, so any number of them stand side by side with the same addresses. All that belongs to
one carries one name: posthouse-PID-START-N, where PID and START are those of the process that made it. When that
process is gone, the next one that makes a network removes what it left behind.
"""

import ctypes
import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO

import pytest

from tests.world.waiting import until

NAMESPACES = Path("/run/netns")
PER_NAMESPACE = Path("/etc/netns")  # `ip netns exec NAME` shows the files of PER_NAMESPACE/NAME in /etc
PREFIX = "posthouse-"
NAMESERVER = 53  # the number of the host that resolves names
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
_numbers = itertools.count()


def ip4(number: int) -> str:
    """The IPv4 address of host `number`."""
    return f"10.77.0.{number}"


def ip6(number: int) -> str:
    """The IPv6 address of host `number`, which is read as its hexadecimal digits."""
    return f"fd77::{number}"


class Host:
    """One machine on the network. Processes that it starts end with it."""

    def __init__(self, namespace: str, name: str, number: int) -> None:
        self.namespace = namespace
        self.name = name
        self.number = number
        self.ip4, self.ip6 = ip4(number), ip6(number)
        self._processes: list[subprocess.Popen[bytes]] = []

    def command(self, *words: str) -> list[str]:
        """What runs `words` on this host; the process is theirs, with no other in between."""
        return [_ip(), "netns", "exec", self.namespace, *words]

    def start(
        self,
        *words: str,
        log: IO[bytes] | int = subprocess.DEVNULL,
        env: dict[str, str] | None = None,
        cwd: Path | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a program on this host; what it says goes to `log`."""
        process = subprocess.Popen(
            self.command(*words), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, cwd=cwd
        )
        self._processes.append(process)
        return process

    def reap(self) -> None:
        """Wait for the processes that start() began; they have been told to end."""
        for process in self._processes:
            process.wait(30)

    def run(self, *words: str, stdin: bytes = b"", allowed: Sequence[int] = (0,), seconds: float = 60.0) -> str:
        """Run a program on this host to its end; what it printed. Another exit code than those `allowed` fails."""
        done = subprocess.run(self.command(*words), input=stdin, capture_output=True, timeout=seconds, check=False)
        printed, told = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        failure = f"{' '.join(words)}: exit code {done.returncode}\n{printed[-4000:]}\n{told[-4000:]}"
        assert done.returncode in allowed, failure
        return printed

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Sockets that this thread makes meanwhile are this host's, and stay so."""
        outside = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            target = os.open(NAMESPACES / self.namespace, os.O_RDONLY)
            try:
                _enter(target)
            finally:
                os.close(target)
            try:
                yield
            finally:
                _enter(outside)
        finally:
            os.close(outside)

    def listen(self, port: int) -> socket.socket:
        """A listening socket on all addresses of this host."""
        with self.inside():
            return socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)

    def connect(self, address: str, port: int, timeout: float = 30.0) -> socket.socket:
        """A TCP connection from this host."""
        with self.inside():
            return socket.create_connection((address, port), timeout)

    def await_port(self, port: int, address: str = "", log: Callable[[], str] = str) -> None:
        """Wait until something listens there, or at another address of this host; `log` tells why it does not."""

        def answers() -> bool:
            assert all(process.poll() in (None, 0) for process in self._processes), f"it ended:\n{log()}"
            try:
                self.connect(address or self.ip4, port, 5).close()
            except ConnectionRefusedError:
                return False
            return True

        until(answers, lambda: f"nothing listens on port {port} of {self.name}\n{log()}")


class Network:
    """The bridge, its hosts and a folder for their files, which every user may pass through."""

    def __init__(self) -> None:
        self.name = f"{PREFIX}{os.getpid()}-{_started(os.getpid())}-{next(_numbers)}"
        self.folder = _folder(self.name)
        self.hosts: list[Host] = []
        self._bridge = f"{self.name}-bridge"

    def open(self) -> None:
        """Make the folder and the bridge."""
        self.folder.mkdir(mode=0o755)
        _run("netns", "add", self._bridge)
        _run("-n", self._bridge, "link", "add", "bridge", "type", "bridge")
        _run("-n", self._bridge, "link", "set", "bridge", "up")

    def host(self, name: str, number: int) -> Host:
        """A new host, reachable at ip4(number) and ip6(number), that asks host NAMESERVER for names."""
        host = Host(f"{self.name}-{name}", name, number)
        etc = PER_NAMESPACE / host.namespace
        etc.mkdir(parents=True)
        (etc / "resolv.conf").write_text(f"nameserver {ip4(NAMESERVER)}\noptions trust-ad timeout:2\n")
        (etc / "hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")
        _run("netns", "add", host.namespace)
        self.hosts.append(host)
        port = f"port{number}"
        _run("-n", host.namespace, "link", "add", "eth0", "type", "veth", "peer", "name", port, "netns", self._bridge)
        _run("-n", self._bridge, "link", "set", port, "master", "bridge", "up")
        for address in (f"{host.ip4}/24", f"{host.ip6}/64"):
            nodad = ["nodad"] if ":" in address else []
            _run("-n", host.namespace, "address", "add", address, "dev", "eth0", *nodad)
        for link in ("lo", "eth0"):
            _run("-n", host.namespace, "link", "set", link, "up")
        return host

    def close(self) -> None:
        """Remove all of it, with every process that still runs on a host."""
        _remove(self.name)
        for host in self.hosts:
            host.reap()


@contextmanager
def network() -> Iterator[Network]:
    """A network for as long as it is needed."""
    _require_namespaces()
    _remove_leftovers()
    net = Network()
    try:
        net.open()
        yield net
    finally:
        net.close()


def _require_namespaces() -> None:
    """Fail, rather than skip: what is not run is not known to work."""
    if os.geteuid() != 0:
        pytest.fail("these tests make network namespaces: run them as root, in a container if need be")
    _ip()
    probe = f"{PREFIX}{os.getpid()}-{_started(os.getpid())}-probe"
    done = subprocess.run([_ip(), "netns", "add", probe], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        why = done.stderr.strip()
        pytest.fail(f"this machine lets even root make no network namespace ({why}): run the tests on one that does")
    _run("netns", "delete", probe)


def _ip() -> str:
    path = shutil.which("ip", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        pytest.fail("ip is not installed: apt-get install iproute2")
    return path


def _run(*words: str) -> str:
    done = subprocess.run([_ip(), *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"
    return done.stdout


def _enter(namespace: int) -> None:
    # os.setns came with Python 3.12.
    if _libc.setns(namespace, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def _folder(name: str) -> Path:
    return Path(tempfile.gettempdir()) / name


def _started(pid: int) -> str:
    """When a process began, in ticks since the boot; "" when there is none. Tells it from a later one with its id."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _remove(name: str) -> None:
    """Everything of the network `name`. What somebody else removes meanwhile is as good."""
    for namespace in _existing(NAMESPACES, f"{name}-*"):
        done = subprocess.run([_ip(), "netns", "pids", namespace.name], capture_output=True, text=True, check=False)
        pids = [int(pid) for pid in done.stdout.split() if int(pid) != os.getpid()]
        for pid in pids:
            _kill(pid)
        for pid in pids:
            until(partial(_is_gone, pid), f"process {pid} does not end")
        subprocess.run([_ip(), "netns", "delete", namespace.name], capture_output=True, check=False)
    for etc in _existing(PER_NAMESPACE, f"{name}-*"):
        shutil.rmtree(etc, ignore_errors=True)
    shutil.rmtree(_folder(name), ignore_errors=True)


def _existing(folder: Path, pattern: str) -> list[Path]:
    return sorted(folder.glob(pattern)) if folder.is_dir() else []


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _is_gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return True
    return state == "Z"  # it waits for its parent, and holds nothing


def _remove_leftovers() -> None:
    """What is left of networks whose process was killed."""
    found = [*_existing(NAMESPACES, f"{PREFIX}*"), *_existing(PER_NAMESPACE, f"{PREFIX}*")]
    found += _existing(Path(tempfile.gettempdir()), f"{PREFIX}*")
    for name in {"-".join(path.name.split("-")[:4]) for path in found}:
        words = name.split("-")
        if len(words) == 4 and words[1].isdecimal() and words[2].isdecimal() and _started(int(words[1])) != words[2]:
            _remove(name)
