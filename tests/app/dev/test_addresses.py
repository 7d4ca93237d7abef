"""What `posthouse dev` notes of the addresses it has mail for."""

from pathlib import Path

import pytest

from posthouse.accounts.interface import Account
from posthouse.app.dev import addresses
from posthouse.app.dev.addresses import AddressFile, noted_accounts
from posthouse.message.address import Address

ONE = Account(1, Address("one", "x.example"), None)
ODD = Account(2**62 - 1, Address('a "b"\n\udc80', "[127.0.0.1]"), None)


def test_each_is_noted_once(tmp_path: Path) -> None:
    path = tmp_path / "addresses"
    file = AddressFile(path)
    assert noted_accounts(path) == []
    for account in (ONE, ODD, Account(1, Address("ONE", "x.example"), None)):
        file.note(account)
    assert noted_accounts(path) == [ONE, ODD] and path.stat().st_mode & 0o777 == 0o600
    AddressFile(path).note(Account(1, Address("ONE", "x.example"), None))
    assert noted_accounts(path) == [ONE, ODD]  # the first spelling


def test_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "_MOST", 10)
    file = AddressFile(tmp_path / "addresses")
    for _ in range(2):
        for number in range(1, 26):
            file.note(Account(number, Address("x", "x.example"), None))
            assert len(file._noted) <= 10
    assert len(noted_accounts(tmp_path / "addresses")) == 25


def test_a_disk_that_takes_nothing(tmp_path: Path) -> None:
    AddressFile(tmp_path / "no" / "folder").note(ONE)
    assert not (tmp_path / "no").exists()


def test_lines_that_are_damaged(tmp_path: Path) -> None:
    path = tmp_path / "addresses"
    path.write_bytes(b'[1, "a"]\n{}\n7\n\xff\n["x", "a", "b"]\n[3, "a", "b"]\n[4, "a"')
    assert noted_accounts(path) == [Account(3, Address("a", "b"), None)]
