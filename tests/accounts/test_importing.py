import io
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from posthouse.accounts.errors import DirectoryBusyError, ImportStoppedError
from posthouse.accounts.importing import ImportReport, import_accounts, name_lines
from posthouse.accounts.names import text_of
from posthouse.accounts.passwords import PasswordHasher
from posthouse.accounts.sqlite import SqliteRegistry

HASH = "{BLF-CRYPT}$2b$04$X.WfF3HG3aISfb/NWK.wn.6.fAkBwUuFXwN.s5XNhWst8j7.ASb7y"


@pytest.fixture(autouse=True)
def filled(registry: SqliteRegistry) -> SqliteRegistry:
    registry.domains.add("a.test")
    registry.accounts.add("taken@a.test", None)
    return registry


class Importer:
    """Imports text and keeps what progress was told."""

    def __init__(self, registry: SqliteRegistry, hasher: PasswordHasher) -> None:
        self.registry, self.hasher = registry, hasher
        self.progress: list[tuple[int, int]] = []

    def __call__(self, text: str, *, dry_run: bool = False) -> ImportReport:
        file = io.StringIO(text, newline="")
        tell = lambda done, total: self.progress.append((done, total))  # noqa: E731
        return import_accounts(self.registry, file, tell, hasher=self.hasher, dry_run=dry_run)


@pytest.fixture
def importer(registry: SqliteRegistry, hasher: PasswordHasher) -> Importer:
    return Importer(registry, hasher)


def names(registry: SqliteRegistry) -> list[str]:
    return [text_of(info.account.address) for info in registry.accounts.all()]


def test_rows_become_accounts(importer: Importer, registry: SqliteRegistry) -> None:
    rows = [
        "alice@a.test,secret,500MB",
        'bob@a.test,"with, comma ""x""",',
        "",
        f"carol@a.test,{HASH},2GB",
        "dora@a.test,x",
    ]
    report = importer("\r\n".join(rows))
    assert report == ImportReport(4, ())
    listed = {info.account.address.local: info for info in registry.accounts.all()}
    assert listed["alice"].account.quota == 500 << 20
    assert listed["bob"].account.quota is None
    assert (listed["carol"].scheme, listed["carol"].account.quota) == ("BLF-CRYPT", 2 << 30)
    assert importer.progress == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize(
    "header", ["address,password,quota", "\ufeffAddress, Password ,QUOTA", "quota,note,password,address"]
)
def test_a_header_is_optional_and_may_order_the_columns(
    importer: Importer, registry: SqliteRegistry, header: str
) -> None:
    row = "1GB,whatever,secret,alice@a.test" if header.startswith("quota") else "alice@a.test,secret,1GB"
    assert importer(f"{header}\n{row}\n") == ImportReport(1, ())
    assert registry.accounts.get("alice@a.test").quota == 1 << 30


def test_a_byte_order_mark_is_no_part_of_the_first_address(importer: Importer, registry: SqliteRegistry) -> None:
    assert importer('\ufeff"alice@a.test",secret,\n').imported == 1
    assert "alice@a.test" in names(registry)


BAD = """address,password,quota
good@a.test,secret,1MB
noat,secret,
x@b.test,secret,
y@a.test,,
z@a.test,{MD5}abc,
q@a.test,secret,lots
taken@a.test,secret,
GOOD@a.test,secret,
w@a.test
v@a.test,secret,1MB,more
"""


@pytest.mark.parametrize("dry_run", [False, True])
def test_all_mistakes_are_told_with_their_lines_and_good_rows_imported(
    importer: Importer, registry: SqliteRegistry, dry_run: bool
) -> None:
    report = importer(BAD, dry_run=dry_run)
    assert report.imported == 1
    assert [error.line for error in report.errors] == [3, 4, 5, 6, 7, 9, 10, 11]
    assert report.present == (8,)
    for error, part in zip(
        report.errors,
        ["lacks a domain", "not a domain", "empty", "'MD5' is not known", "'lots'",
         "good@a.test stands in the lines 2 and 9; line 2", "no password", "4 fields"],
        strict=True,
    ):  # fmt: skip
        assert part in error.message
    assert names(registry) == (["taken@a.test"] if dry_run else ["good@a.test", "taken@a.test"])


def test_a_dry_run_hashes_nothing(registry: SqliteRegistry) -> None:
    class NoHasher(PasswordHasher):
        def make(self, password: str) -> None:  # type: ignore[override]
            raise AssertionError

    file = io.StringIO("alice@a.test,secret,\n")
    report = import_accounts(registry, file, lambda _done, _total: None, hasher=NoHasher(), dry_run=True)
    assert report == ImportReport(1, ())


def hashed(count: int) -> str:
    """Rows that cost nothing to hash."""
    return "".join(f"user{number}@a.test,{HASH},\n" for number in range(count))


@pytest.fixture
def commits(registry: SqliteRegistry, path: Path) -> Iterator[list[int]]:
    """How many accounts there were after each commit."""
    found: list[int] = []
    with closing(apsw.Connection(str(path))) as reader:

        def note(_connection: apsw.Connection, _name: str, _pages: int) -> int:
            found.append(int(reader.execute("SELECT count(*) FROM accounts").get))
            return apsw.SQLITE_OK

        registry._writer.connection.set_wal_hook(note)
        yield found


def test_many_rows_are_added_in_one_transaction(importer: Importer, commits: list[int]) -> None:
    assert importer(hashed(2_500)).imported == 2_500
    assert commits == [1_001, 2_001, 2_501]
    assert importer.progress == [(done + 1, 2_500) for done in range(2_500)]


def test_an_import_again_adds_what_is_not_there(importer: Importer, registry: SqliteRegistry) -> None:
    importer(hashed(3))
    before = registry.accounts.get("user1@a.test")
    report = importer(hashed(5))
    assert report == ImportReport(2, (), present=(1, 2, 3))
    assert registry.accounts.get("user1@a.test") == before


def test_an_import_that_is_stopped_keeps_what_was_hashed(
    registry: SqliteRegistry, hasher: PasswordHasher, commits: list[int]
) -> None:
    told: list[int] = []
    text = "".join(f"user{number}@a.test,secret{number},\n" for number in range(1_100))

    def run(most: int) -> ImportReport:
        tell = lambda done, _total: told.append(done)  # noqa: E731
        return import_accounts(registry, io.StringIO(text), tell, hasher=hasher, stopped=lambda: len(told) == most)

    assert run(30) == ImportReport(30, (), left=1_070)
    assert commits == [31]
    report = run(-1)
    assert (report.imported, report.present, report.left) == (1_070, tuple(range(1, 31)), 0)


def test_one_that_is_stopped_before_it_began_adds_nothing(importer: Importer, registry: SqliteRegistry) -> None:
    file = io.StringIO(hashed(3))
    report = import_accounts(registry, file, lambda _done, _total: None, stopped=lambda: True)
    assert report == ImportReport(0, (), left=3)
    assert names(registry) == ["taken@a.test"]


def test_one_that_fails_half_way_says_what_it_has_added(
    importer: Importer, registry: SqliteRegistry, path: Path
) -> None:
    registry._writer.connection.set_busy_timeout(10)
    with closing(apsw.Connection(str(path))) as other:

        def tell(done: int, _total: int) -> None:
            if done == 1_500:
                other.execute("BEGIN IMMEDIATE")

        with pytest.raises(ImportStoppedError, match="1000 accounts were added before, import the same file again"):
            import_accounts(registry, io.StringIO(hashed(2_500)), tell)
    assert len(names(registry)) == 1_001
    assert importer(hashed(2_500)).imported == 1_500


def test_repeated_rows_are_one_error_for_each_address(importer: Importer, registry: SqliteRegistry) -> None:
    rows = ["a@a.test,one,1MB", "b@a.test,x,", "A@A.test,two,2MB", "c@a.test,x,", *["a@a.test,three,"] * 3]
    report = importer("\n".join([*rows, "B@a.test,y,"]))
    assert report.imported == 3
    assert [(error.line, error.message, error.rows) for error in report.errors] == [
        (3, "a@a.test stands in the lines 1, 3 and 5 to 7; line 1 counts", 4),
        (8, "b@a.test stands in the lines 2 and 8; line 2 counts", 1),
    ]
    assert report.rows_wrong == 5
    assert registry.accounts.get("a@a.test").quota == 1 << 20


def test_of_many_lines_the_first_are_named() -> None:
    assert name_lines([7]) == "7"
    assert name_lines([1, 2, 3]) == "1 to 3"
    assert name_lines(range(1, 100, 2)) == "1, 3, 5, 7, 9, 11, 13, 15, 17, 19 and 40 more"


def test_a_plain_password_that_reads_like_a_hash_can_be_marked(importer: Importer, registry: SqliteRegistry) -> None:
    assert importer("x@a.test,{PLAIN}{MD5}abc,\n").imported == 1
    assert importer("y@a.test,{hello} world,\n").errors[0].line == 1
    assert registry.accounts.all()[-1].scheme == "ARGON2ID"


def test_what_is_no_text_or_no_csv_is_told(registry: SqliteRegistry, hasher: PasswordHasher, tmp_path: Path) -> None:
    file = tmp_path / "accounts.csv"
    file.write_bytes(b"alice@a.test,secret,\n" + b"bob@a.test,s\xe9cret,\n" * 10_000)
    with file.open(encoding="utf-8", newline="") as opened:
        report = import_accounts(registry, opened, lambda _done, _total: None, hasher=hasher)
    assert "not UTF-8" in report.errors[-1].message
    huge = 'x@a.test,"' + "x" * 200_000 + '",\ny@a.test,secret,\n'
    report = import_accounts(registry, io.StringIO(huge, newline=""), lambda _done, _total: None, hasher=hasher)
    assert report.imported == 1 and "no CSV" in report.errors[0].message


def test_a_directory_that_cannot_be_written_ends_the_import(
    importer: Importer, registry: SqliteRegistry, path: Path
) -> None:
    other = apsw.Connection(str(path))
    other.execute("BEGIN IMMEDIATE")
    registry._writer.connection.set_busy_timeout(10)
    with pytest.raises(DirectoryBusyError):
        importer("alice@a.test,secret,\n")
    other.close()


@given(st.text(alphabet=st.sampled_from('a@.,"\n\r\0{}$6éX'), max_size=80))
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_any_text_gives_a_report(importer: Importer, text: str) -> None:
    report = importer(text, dry_run=True)
    assert all(error.line >= 1 and error.message for error in report.errors)
