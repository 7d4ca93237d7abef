"""What is remembered of destinations, in a real file."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from posthouse.queue.destinations import Destinations, KnownPolicy, TlsResult
from posthouse.queue.sqlite.destinations import SqliteDestinations

NOW = 1_795_000_000
DAY = NOW // 86400
POLICY = KnownPolicy("id1", b"version: STSv1\r\n\xff", NOW)


@pytest.fixture(name="file")
def path_of_the_file(tmp_path: Path) -> Path:
    return tmp_path / "destinations.db"


@pytest.fixture(name="known")
def one_process(file: Path) -> Iterator[Destinations]:
    with closing(SqliteDestinations(file)) as made:
        yield made


def result(**changed: object) -> TlsResult:
    usual: dict[str, object] = {
        "day": DAY, "domain": "x.test", "policy": "sts", "host": "mx.x.test", "result": "", "count": 1,
    }  # fmt: skip
    return TlsResult(**(usual | changed))  # type: ignore[arg-type]


def test_policies(known: Destinations) -> None:
    assert known.policy("x.test") is None
    known.keep_policy("x.test", POLICY)
    assert known.policy("x.test") == POLICY
    newer = KnownPolicy("id2", b"", NOW + 1)
    known.keep_policy("x.test", newer)
    assert known.policy("x.test") == newer
    assert known.policy("y.test") is None


def test_valid_certificates(known: Destinations) -> None:
    assert known.valid_since("x.test", "mx.x.test") == 0
    known.keep_valid("x.test", "mx.x.test", NOW)
    known.keep_valid("x.test", "mx.x.test", NOW + 5)
    assert known.valid_since("x.test", "mx.x.test") == NOW + 5
    assert known.valid_since("y.test", "mx.x.test") == 0
    assert known.valid_since("x.test", "mx2.x.test") == 0


def test_results_add_up(known: Destinations) -> None:
    expired = result(result="certificate-expired", count=3)
    assert known.add_results([result(count=2), expired, result(day=DAY + 1)])
    assert known.add_results([result(count=5), result(policy="tlsa")])
    assert sorted(known.results(DAY), key=repr) == sorted([result(count=7), expired, result(policy="tlsa")], key=repr)
    assert known.results(DAY + 1) == [result(day=DAY + 1)]
    assert known.results(DAY + 2) == []
    assert known.add_results([])


def test_it_outlives_the_process_and_is_shared(file: Path) -> None:
    with closing(SqliteDestinations(file)) as one, closing(SqliteDestinations(file)) as other:
        one.keep_policy("x.test", POLICY)
        one.keep_valid("x.test", "mx.x.test", NOW)
        one.add_results([result()])
        other.add_results([result()])
        assert other.policy("x.test") == POLICY
    with closing(SqliteDestinations(file)) as again:
        assert again.valid_since("x.test", "mx.x.test") == NOW
        assert again.results(DAY) == [result(count=2)]
    assert file.stat().st_mode & 0o077 == 0


def test_what_is_old_goes(known: Destinations) -> None:
    known.keep_policy("old.test", KnownPolicy("id", b"", NOW - 367 * 86400))
    known.keep_policy("new.test", POLICY)
    known.keep_valid("old.test", "mx", NOW - 800 * 86400)
    known.keep_valid("new.test", "mx", NOW - 300 * 86400)
    known.add_results([result(day=DAY - 15), result(day=DAY - 14)])
    known.tidy(NOW)
    assert known.policy("old.test") is None and known.policy("new.test") is not None
    assert known.valid_since("old.test", "mx") == 0 and known.valid_since("new.test", "mx")
    assert known.results(DAY - 15) == [] and known.results(DAY - 14)


def test_a_file_that_somebody_holds_costs_only_new_knowledge(file: Path) -> None:
    """And no count is half written."""
    with closing(SqliteDestinations(file)) as known, closing(apsw.Connection(str(file))) as other:
        known.keep_valid("x.test", "mx.x.test", NOW)
        other.execute("BEGIN IMMEDIATE")
        assert not known.add_results([result(), result(policy="tlsa")])
        known.keep_valid("x.test", "mx.x.test", NOW + 5)
        assert known.valid_since("x.test", "mx.x.test") == NOW
        other.execute("ROLLBACK")
        assert known.results(DAY) == []
        assert known.add_results([result()])


def test_after_the_end_nothing_breaks(file: Path) -> None:
    known = SqliteDestinations(file)
    known.close()
    assert known.policy("x.test") is None
    assert known.valid_since("x.test", "mx.x.test") == 0
    assert not known.add_results([result()])
    known.keep_policy("x.test", POLICY)
    known.tidy(NOW)
