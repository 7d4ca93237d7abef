"""Accounts from a CSV file: address,password,quota.

First every row is tried in a transaction that is undone, so that all mistakes are known before the slow part begins;
then passwords are hashed on all cores, and the good rows are added by thousands. Whatever ends an import, what it has
added stays, and the same file imported again adds the rest.
"""

import csv
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeVar

from posthouse.accounts.errors import (
    AccountExistsError,
    AccountsError,
    BadAddressError,
    DirectoryBusyError,
    ImportStoppedError,
)
from posthouse.accounts.names import domain_key, local_key, parse_address, text_of
from posthouse.accounts.passwords import PasswordHasher, checked_password, looks_hashed, recognised
from posthouse.accounts.quotas import parse_quota
from posthouse.accounts.rows import Credential
from posthouse.accounts.sqlite.registry import SqliteRegistry

_T = TypeVar("_T")

COLUMNS = ("address", "password", "quota")
_BATCH = 1_000  # rows of one transaction: a disk write for each row would cost more than a hash from elsewhere
_NAMED = 10  # lines that one sentence names
_PLAIN = "{PLAIN}"  # marks a plain password that would read as a hash


@dataclass(frozen=True, slots=True)
class RowError:
    """Rows that were not imported, all for one reason."""

    line: int  # counted from 1; of a row over several lines, the last; of several rows, the first
    message: str
    rows: int = 1


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of a file."""

    imported: int  # with dry_run: how many would be
    errors: tuple[RowError, ...]
    present: tuple[int, ...] = ()  # lines of accounts that were there before, and stay as they are
    left: int = 0  # good rows that were not come to, because the import was stopped

    @property
    def rows_wrong(self) -> int:
        """How many rows the errors are about."""
        return sum(error.rows for error in self.errors)


@dataclass(frozen=True, slots=True)
class _Row:
    line: int
    address: str
    password: str  # "" when `hash` stands
    hash: str
    quota: int | None


@dataclass(slots=True)
class _Outcome:
    """What is known so far."""

    errors: list[RowError] = field(default_factory=list)
    present: list[int] = field(default_factory=list)


def import_accounts(
    registry: SqliteRegistry,
    file: Iterable[str],
    progress: Callable[[int, int], None],
    *,
    hasher: PasswordHasher | None = None,
    dry_run: bool = False,
    threads: int | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> ImportReport:
    """Add the accounts of a CSV file (opened as UTF-8 with newline=""); a header is optional.

    `progress` is called with (rows hashed, rows to do). Each row is added whole or not at all; of rows with one
    address the first counts. An account that is there already stays as it is. Once `stopped` says so, which is asked
    between two hashes, what has been hashed is added, and that is all.
    Raises DirectoryBusyError when the directory cannot be written, ImportStoppedError when some rows were added before.
    """
    outcome = _Outcome()
    rows = list(_good(_read(file, outcome.errors), outcome.errors))
    rows = _tried(registry, _first_of_each(rows, outcome.errors), outcome, stopped)
    done, seen = len(rows), len(rows)
    if not dry_run:
        done, seen = _add_all(registry, rows, _Hashing(hasher or PasswordHasher(), threads, stopped, progress), outcome)
    errors = tuple(sorted(outcome.errors, key=lambda error: error.line))
    return ImportReport(done, errors, tuple(sorted(outcome.present)), len(rows) - seen)


def name_lines(lines: Iterable[int]) -> str:
    """Line numbers as a sentence has them: "2, 5 to 9 and 12"; of very many the first few."""
    spans: list[list[int]] = []
    for line in lines:
        if spans and line == spans[-1][1] + 1:
            spans[-1][1] = line
        else:
            spans.append([line, line])
    named = [str(first) if first == last else f"{first} to {last}" for first, last in spans[:_NAMED]]
    if len(spans) > _NAMED:
        more = sum(last - first + 1 for first, last in spans[_NAMED:])
        named.append(f"{more} more")
    return named[0] if len(named) == 1 else f"{', '.join(named[:-1])} and {named[-1]}"


def _read(file: Iterable[str], errors: list[RowError]) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows as (line, fields by column)."""
    reader = csv.reader(_unmarked(file))
    columns: tuple[str, ...] = ()
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            errors.append(RowError(reader.line_num, f"the row is no CSV: {error}"))
            continue
        except UnicodeDecodeError:
            errors.append(RowError(reader.line_num + 1, "the text is not UTF-8; convert the file and import it again"))
            return
        names = tuple(field.strip().lower() for field in fields)
        if not any(names):
            continue
        if not columns:
            columns = names if "address" in names and "@" not in "".join(names) else COLUMNS
            if columns is names:
                continue
        if len(fields) > len(columns):
            errors.append(RowError(reader.line_num, f"{len(fields)} fields are too many; a row is {','.join(columns)}"))
        else:
            yield reader.line_num, dict(zip(columns, fields, strict=False))


def _unmarked(lines: Iterable[str]) -> Iterator[str]:
    """The lines without the byte order mark that spreadsheets put first."""
    for number, line in enumerate(lines):
        yield line if number else line.removeprefix("\ufeff")


def _good(rows: Iterable[tuple[int, dict[str, str]]], errors: list[RowError]) -> Iterator[_Row]:
    """The rows whose password and quota can be used."""
    for line, fields in rows:
        try:
            if "password" not in fields:
                raise BadAddressError(f"the row has no password; it reads {','.join(COLUMNS)}")
            password, hashed = _secret(fields["password"])
            yield _Row(line, fields.get("address", "").strip(), password, hashed, parse_quota(fields.get("quota", "")))
        except AccountsError as error:
            errors.append(RowError(line, str(error)))


def _secret(field: str) -> tuple[str, str]:
    """A password field as (plain, hash), one of them empty."""
    if looks_hashed(field) and not field.startswith(_PLAIN):
        return "", recognised(field)
    password = field.removeprefix(_PLAIN)
    checked_password(password)
    return password, ""


def _first_of_each(rows: list[_Row], errors: list[RowError]) -> list[_Row]:
    """The rows without those that repeat the address of an earlier one; each such address makes one error."""
    by_address: dict[tuple[str, str], list[_Row]] = {}
    for row in rows:
        by_address.setdefault(_key(row), []).append(row)
    for same in by_address.values():
        if len(same) > 1:
            lines = name_lines(row.line for row in same)
            text = f"{text_of(parse_address(same[0].address))} stands in the lines {lines}; line {same[0].line} counts"
            errors.append(RowError(same[1].line, text, len(same) - 1))
    return [same[0] for same in by_address.values()]


def _key(row: _Row) -> tuple[str, str]:
    """The one form of all spellings of its address; what is no address has only itself."""
    try:
        address = parse_address(row.address)
    except BadAddressError:
        return str(row.line), ""
    return local_key(address.local) or "", domain_key(address.domain) or ""


def _tried(registry: SqliteRegistry, rows: list[_Row], outcome: _Outcome, stopped: Callable[[], bool]) -> list[_Row]:
    """The rows that can be added. In pieces: while one is tried nobody else can change the directory."""
    good: list[_Row] = []
    for some in _in_batches(rows):
        if stopped():  # these are left, and never added untried
            good += some
            continue
        with registry.together(keep=False):
            good += [row for row in some if _add(registry, row, None, outcome)]
    return good


class _Hashing:
    """Makes the credentials of rows on threads, a few ahead of what is taken, in the rows' order."""

    def __init__(
        self,
        hasher: PasswordHasher,
        threads: int | None,
        stopped: Callable[[], bool],
        progress: Callable[[int, int], None],
    ) -> None:
        self._hasher = hasher
        self._threads = threads or len(os.sched_getaffinity(0))
        self._stopped = stopped
        self._progress = progress

    def credentials(self, rows: list[_Row]) -> Iterator[tuple[_Row, Credential]]:
        """The rows with theirs; ends early once it is stopped."""
        waiting = iter(rows)
        ahead: deque[tuple[_Row, Future[Credential]]] = deque()
        done = 0
        with ThreadPoolExecutor(self._threads) as executor:
            while not self._stopped():
                for row in islice(waiting, 4 * self._threads - len(ahead)):
                    ahead.append((row, executor.submit(self._make, row)))
                if not ahead:
                    return
                row, made = ahead.popleft()
                credential = made.result()
                done += 1
                self._progress(done, len(rows))
                yield row, credential
            executor.shutdown(cancel_futures=True)

    def _make(self, row: _Row) -> Credential:
        return Credential(row.hash, None) if row.hash else self._hasher.make(row.password)


def _add_all(registry: SqliteRegistry, rows: list[_Row], hashing: _Hashing, outcome: _Outcome) -> tuple[int, int]:
    """Hash and add, batch by batch: how many rows were added, and how many were come to. Raises ImportStoppedError."""
    added = seen = 0
    for batch in _in_batches(hashing.credentials(rows)):
        attempt = _Outcome()
        try:
            with registry.together():
                new = sum(_add(registry, row, credential, attempt) for row, credential in batch)
        except DirectoryBusyError as error:
            if not added:
                raise
            raise ImportStoppedError(added, error) from error
        added += new
        seen += len(batch)
        outcome.errors += attempt.errors
        outcome.present += attempt.present
    return added, seen


def _in_batches(items: Iterable[_T]) -> Iterator[list[_T]]:
    rest = iter(items)
    while batch := list(islice(rest, _BATCH)):
        yield batch


def _add(registry: SqliteRegistry, row: _Row, credential: Credential | None, outcome: _Outcome) -> bool:
    try:
        registry.accounts.add(row.address, credential, quota=row.quota)
    except DirectoryBusyError:
        raise
    except AccountExistsError:
        outcome.present.append(row.line)
        return False
    except AccountsError as error:
        outcome.errors.append(RowError(row.line, str(error)))
        return False
    return True
