"""Accounts from a CSV file: address,password,quota.

First every row is tried in a transaction that is undone, so that all mistakes are known before the slow part begins;
then passwords are hashed on threads and the good rows are added, some at a time.
"""

import csv
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

from posthouse.accounts.errors import AccountsError, BadAddressError, DirectoryBusyError
from posthouse.accounts.passwords import Hasher, checked_password, looks_hashed, recognised
from posthouse.accounts.quotas import parse_quota
from posthouse.accounts.rows import Credential
from posthouse.accounts.sqlite.registry import SqliteRegistry

COLUMNS = ("address", "password", "quota")
_BATCH = 32
_PLAIN = "{PLAIN}"  # marks a plain password that would read as a hash


@dataclass(frozen=True, slots=True)
class RowError:
    """A row that was not imported."""

    line: int  # counted from 1; of a row over several lines, the last
    message: str


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of a file."""

    imported: int  # with dry_run: how many would be
    errors: tuple[RowError, ...]


@dataclass(frozen=True, slots=True)
class _Row:
    line: int
    address: str
    password: str  # "" when `hash` stands
    hash: str
    quota: int | None


def import_accounts(
    registry: SqliteRegistry,
    file: Iterable[str],
    progress: Callable[[int, int], None],
    *,
    hasher: Hasher | None = None,
    dry_run: bool = False,
    threads: int | None = None,
) -> ImportReport:
    """Add the accounts of a CSV file (opened as UTF-8 with newline=""); a header is optional.

    `progress` is told (rows done, rows to do). Each row is added whole or not at all; rows already there are
    errors. Raises DirectoryBusyError when the directory cannot be written; what was reported as done stays.
    """
    errors: list[RowError] = []
    rows = list(_good(_read(file, errors), errors))
    rows = _tried(registry, rows, errors)
    done = len(rows)
    if not dry_run:
        done = 0
        for batch_done in _added(registry, rows, hasher or Hasher(), threads or os.cpu_count() or 1, errors):
            done += batch_done
            progress(min(done, len(rows)), len(rows))
    return ImportReport(done, tuple(sorted(errors, key=lambda error: error.line)))


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


def _tried(registry: SqliteRegistry, rows: list[_Row], errors: list[RowError]) -> list[_Row]:
    """The rows that can be added."""
    with registry.together(keep=False):
        return [row for row in rows if _add(registry, row, None, errors)]


def _added(
    registry: SqliteRegistry, rows: list[_Row], hasher: Hasher, threads: int, errors: list[RowError]
) -> Iterator[int]:
    """Hash and add; how many more are added, batch by batch."""

    def credential(row: _Row) -> Credential:
        return Credential(row.hash, None) if row.hash else hasher.make(row.password)

    waiting = iter(rows)
    with ThreadPoolExecutor(threads) as executor:
        while batch := list(islice(waiting, _BATCH)):
            made = list(executor.map(credential, batch))
            with registry.together():
                added = [_add(registry, row, proof, errors) for row, proof in zip(batch, made, strict=True)]
            yield sum(added)


def _add(registry: SqliteRegistry, row: _Row, credential: Credential | None, errors: list[RowError]) -> bool:
    try:
        registry.add_account(row.address, credential, quota=row.quota)
    except DirectoryBusyError:
        raise
    except AccountsError as error:
        errors.append(RowError(row.line, str(error)))
        return False
    return True
