"""What is told of connections that are refused."""

import structlog
from structlog.testing import LogCapture

from posthouse.net.limits import Limits
from posthouse.net.refusals import PERIOD, RefusalLog


def test_a_line_a_minute_for_each_bound() -> None:
    logged, now = LogCapture(), 1000.0
    log = structlog.wrap_logger(None, processors=[logged], wrapper_class=structlog.make_filtering_bound_logger(0))
    refusals = RefusalLog(Limits(connections=50, per_address=7), log, lambda: now)
    for _ in range(3):
        refusals.note_share("172.17.0.1")
    refusals.note_full("192.0.2.9")
    now += PERIOD
    refusals.note_share("172.17.0.1")
    told = [(entry["setting"], entry["bound"], entry["client"], entry["refused"]) for entry in logged.entries]
    assert told == [
        ("limits.per_address", 7, "172.17.0.1", 1),
        ("limits.connections", 50, "192.0.2.9", 1),
        ("limits.per_address", 7, "172.17.0.1", 3),
    ]
    assert "[proxy]" in logged.entries[0]["fix"]
