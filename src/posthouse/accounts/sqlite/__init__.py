"""The accounts in SQLite: directory.db, and the throttle's counters in the volatile database."""

from posthouse.accounts.sqlite.directory import SqliteDirectory
from posthouse.accounts.sqlite.registry import SqliteRegistry
from posthouse.accounts.sqlite.throttle import SqliteThrottleRows

__all__ = ["SqliteDirectory", "SqliteRegistry", "SqliteThrottleRows"]
