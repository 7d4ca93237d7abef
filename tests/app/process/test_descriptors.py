"""Open files: as many as may be, and clients never take them all."""

import subprocess
import sys

import structlog
from structlog.testing import LogCapture

from posthouse.app.process.descriptors import bound_connections

PROGRAM = """
import resource, sys
from posthouse.app.process.descriptors import raise_limit
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 4000))
print(raise_limit(), resource.getrlimit(resource.RLIMIT_NOFILE))
print(raise_limit())
"""


def test_the_soft_limit_is_raised_to_the_hard_one() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout == "4000 (4000, 4000)\n4000\n"


def test_connections_leave_descriptors_for_the_rest() -> None:
    logged = LogCapture()
    log = structlog.wrap_logger(None, processors=[logged], wrapper_class=structlog.make_filtering_bound_logger(0))
    assert bound_connections(10_000, 20_000, log) == 10_000
    assert logged.entries == []
    assert bound_connections(10_000, 1_024, log) == 512
    [entry] = logged.entries
    assert entry["log_level"] == "warning"
    assert "LimitNOFILE=20000" in entry["fix"]
