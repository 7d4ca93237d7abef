"""What the directory costs: look-ups, remembered logins, hashes; and that unknown names cost what wrong passwords do.

Run: .venv/bin/python benchmarks/micro_accounts.py [--tries 500]
Pass marks: resolve <= 5 us, remembered verify <= 10 us, medians of unknown and wrong within 2 %.
"""

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import apsw

from posthouse.accounts import sha512crypt
from posthouse.accounts.importing import import_accounts
from posthouse.accounts.interface import Account
from posthouse.accounts.passwords import PasswordHasher
from posthouse.accounts.sqlite import SqliteDirectory, SqliteRegistry, SqliteThrottleRows
from posthouse.accounts.throttle import Throttle, ThrottleLimit
from posthouse.message.address import Address

NEVER = ThrottleLimit(free=1_000_000, first=1, longest=1)
IP = "192.0.2.1"


def best_us(call: Callable[[], object], times: int = 20_000, rounds: int = 5) -> float:
    """Microseconds a call, in the best of some rounds."""
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(times):
            call()
        best = min(best, time.perf_counter() - start)
    return best / times * 1e6


async def remembered_us(directory: SqliteDirectory, times: int = 20_000) -> float:
    """Microseconds of a verify answered from memory."""
    assert isinstance(await directory.logins.verify("user1@a.test", "secret", IP), Account)
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(times):
            await directory.logins.verify("user1@a.test", "secret", IP)
        best = min(best, time.perf_counter() - start)
    return best / times * 1e6


async def unknown_and_wrong(directory: SqliteDirectory, tries: int) -> tuple[float, float]:
    """Median milliseconds of a login with an unknown name and with a wrong password, taken in turn."""
    times: dict[str, list[float]] = {"nobody@a.test": [], "user2@a.test": []}
    for number in range(tries):
        for login, taken in times.items():
            start = time.perf_counter()
            await directory.logins.verify(login, f"wrong{number}", IP)
            taken.append(time.perf_counter() - start)
    unknown, wrong = (median(taken) * 1e3 for taken in times.values())
    return unknown, wrong


def fill(registry: SqliteRegistry, accounts: int) -> None:
    """Accounts user0 ... of a.test; two with a password."""
    registry.domains.add("a.test", default=True)
    secret = PasswordHasher().make("secret")
    with registry.together():
        for number in range(accounts):
            registry.accounts.add(f"user{number}@a.test", secret if number in (1, 2) else None)
        registry.aliases.add("info@a.test", "user1@a.test")
        registry.aliases.add("*@a.test", "info@a.test")


def measure(folder: Path, tries: int) -> dict[str, float]:
    """All figures by name."""
    figures: dict[str, float] = {}
    with SqliteRegistry(folder / "directory.db") as registry:
        fill(registry, 10_000)
    volatile = apsw.Connection(str(folder / "volatile.db"))
    volatile.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF").fetchall()
    throttle = Throttle(SqliteThrottleRows(volatile), time.time, pair=NEVER, network=NEVER, name=NEVER)
    directory = SqliteDirectory(folder / "directory.db", throttle)
    known, caught = Address("user1", "a.test"), Address("whoever", "a.test")
    figures["resolve, warm: us"] = best_us(lambda: directory.addresses.resolve(known))
    figures["is_local_domain, warm: us"] = best_us(lambda: directory.addresses.is_local_domain("a.test"))
    figures["scram_keys, warm: us"] = best_us(lambda: directory.logins.scram_keys("user1@a.test"))
    figures["throttled, nothing counted: us"] = best_us(lambda: directory.logins.throttled("user1@a.test", IP))

    def cold(address: Address) -> Callable[[], object]:
        def look_up() -> object:
            directory.addresses._resolved.clear()
            return directory.addresses.resolve(address)

        return look_up

    figures["resolve, cold, account: us"] = best_us(cold(known), 2_000)
    figures["resolve, cold, catch-all and alias: us"] = best_us(cold(caught), 2_000)
    figures["verify, remembered: us"] = asyncio.run(remembered_us(directory))
    figures["refuse_proof: us"] = best_us(lambda: directory.logins.refuse_proof("user3@a.test", IP), 500)
    unknown, wrong = asyncio.run(unknown_and_wrong(directory, tries))
    figures["verify, unknown name, median: ms"] = unknown
    figures["verify, wrong password, median: ms"] = wrong
    figures["unknown against wrong: %"] = (unknown / wrong - 1) * 100
    directory.close()
    volatile.close()
    figures["new password, argon2id and SCRAM keys: ms"] = best_us(lambda: PasswordHasher().make("secret"), 10, 3) / 1e3
    figures["SHA512-CRYPT of 5,000 rounds: ms"] = best_us(lambda: sha512crypt.digest(b"x", b"y", 5_000), 10, 3) / 1e3
    rows = [f"x{number}@a.test,secret{number},1GB\n" for number in range(100)]
    with SqliteRegistry(folder / "directory.db") as registry:
        start = time.perf_counter()
        assert import_accounts(registry, rows, lambda _done, _total: None).imported == len(rows)
        figures["import, plain passwords: rows/s"] = len(rows) / (time.perf_counter() - start)
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tries", type=int, default=500, help="logins of each kind whose time is compared")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder), options.tries)
    if options.json:
        print(json.dumps(figures))
    else:
        for name, figure in figures.items():
            print(f"{name:45} {figure:10.2f}")


if __name__ == "__main__":
    main()
