"""Tests run in several processes at once; each process has a network of its own, so that their ports never meet."""

import ctypes
import os
import shutil
import subprocess

import pytest
from hypothesis import HealthCheck, settings

# No test depends on how fast the machine is.
settings.register_profile("any speed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any speed")

_CLONE_NEWNET = 0x40000000


def pytest_configure(config: pytest.Config) -> None:
    """For root alone, who runs all tests; others share one network, where a port that was free may be taken."""
    if hasattr(config, "workerinput") and os.geteuid() == 0:
        _leave_the_network()


def _leave_the_network() -> None:
    """This thread and all that it starts see a loopback interface of their own and nothing else."""
    ip = shutil.which("ip", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    # os.unshare came with Python 3.12.
    if ip is None or ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET) != 0:
        return  # tests/world says what is missing
    subprocess.run([ip, "link", "set", "lo", "up"], check=True)
