"""The accounts in SQLite: directory.db, and in the volatile database the throttle's counters and what was verified."""

from posthouse.accounts.sqlite.directory import SqliteDirectory
from posthouse.accounts.sqlite.registry import SqliteRegistry
from posthouse.accounts.sqlite.throttle import SqliteThrottleRows
from posthouse.accounts.sqlite.verified_passwords import SqliteVerifiedPasswordRows

__all__ = ["SqliteDirectory", "SqliteRegistry", "SqliteThrottleRows", "SqliteVerifiedPasswordRows"]
