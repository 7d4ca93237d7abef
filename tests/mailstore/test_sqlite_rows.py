import apsw
import pytest

from posthouse.mailstore.sqlite.rows import Insert, Lookup, fetch, numbers


@pytest.mark.parametrize("count", [0, 1, 2, 3, 127, 128, 129, 1000])
def test_rows_of_any_number(count: int) -> None:
    connection = apsw.Connection(":memory:")
    connection.execute("CREATE TABLE t (a, b)")
    rows = [(number, str(number)) for number in range(count)]
    Insert("INSERT INTO t (a, b)", 2).run(connection, rows)
    assert fetch(connection, "SELECT a, b FROM t ORDER BY rowid") == rows
    found = Lookup(("a",), "SELECT b FROM wanted CROSS JOIN t USING (a)").run(connection, [(a,) for a, _ in rows])
    assert {b for (b,) in found} == {b for _, b in rows}
    missing = Lookup(("a",), "SELECT b FROM wanted CROSS JOIN t USING (a)").run(connection, [(-1,)])
    assert list(missing) == []


def test_numbers() -> None:
    connection = apsw.Connection(":memory:")
    wanted = {1, -5, 1 << 40}
    assert {n for (n,) in fetch(connection, "SELECT value FROM carray(?)", (numbers(wanted),))} == wanted
