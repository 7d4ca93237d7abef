"""The network itself: hosts reach one another, and nothing is left when it goes, however that comes about."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.world.net import NAMESPACES, PER_NAMESPACE, network
from tests.world.waiting import until

LEFT_BEHIND = """
import time
from tests.world.net import network
with network() as net:
    host = net.host("one", 1)
    child = host.start("sleep", "1000")
    print(net.name, child.pid, flush=True)
    time.sleep(1000)
"""


def test_hosts_reach_one_another_by_both_families() -> None:
    with network() as net:
        one, two = net.host("one", 1), net.host("two", 2)
        with two.listen(25) as listener:
            for address in (two.ip4, two.ip6):
                with one.connect(address, 25) as out, listener.accept()[0] as came:
                    assert out.getpeername()[0] == address
                    assert came.getpeername()[0].removeprefix("::ffff:") in (one.ip4, one.ip6)


def test_two_networks_do_not_see_one_another() -> None:
    with network() as left, network() as right:
        with left.host("one", 1).listen(25):
            other = right.host("two", 2)
            assert "unreachable" in other.run("sh", "-c", "ip route get 10.78.0.1 2>&1; true")
        assert left.name != right.name


def test_nothing_is_left() -> None:
    with network() as net:
        process = net.host("one", 1).start("sleep", "1000")
        folder, name = net.folder, net.name
        assert folder.is_dir()
    process.wait(10)
    assert not folder.exists()
    assert not list(NAMESPACES.glob(f"{name}*")) and not list(PER_NAMESPACE.glob(f"{name}*"))


def test_what_a_killed_run_left_is_removed_by_the_next() -> None:
    with subprocess.Popen([sys.executable, "-c", LEFT_BEHIND], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        name, child = run.stdout.readline().split()
        os.kill(run.pid, signal.SIGKILL)
    assert list(NAMESPACES.glob(f"{name}*"))
    with network() as net:
        assert net.folder.is_dir()
    assert not list(NAMESPACES.glob(f"{name}*")) and not list(PER_NAMESPACE.glob(f"{name}*"))
    until(lambda: not Path(f"/proc/{child}/cmdline").exists() or not Path(f"/proc/{child}/cmdline").read_bytes(), name)
