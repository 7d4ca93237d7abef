import errno
from pathlib import Path

import pytest

from posthouse.mailstore.reserve import DiskReserve
from tests.mailstore.faulty import FaultyFiles


def test_it_takes_space_and_gives_it_up(tmp_path: Path, files: FaultyFiles) -> None:
    reserve = DiskReserve(tmp_path / "reserve", files, 100_000)
    assert reserve.fill()
    assert reserve.fill()
    assert (tmp_path / "reserve").stat().st_blocks * 512 >= 100_000
    reserve.give_up()
    assert (tmp_path / "reserve").stat().st_blocks == 0
    files.reserve_error = errno.ENOSPC
    assert not reserve.fill()
    files.reserve_error = 0
    assert reserve.fill()
    reserve.close()


def test_processes_share_it(tmp_path: Path, files: FaultyFiles) -> None:
    first, second = (DiskReserve(tmp_path / "reserve", files, 100_000) for _ in range(2))
    assert first.fill()
    files.reserve_error = errno.ENOSPC
    assert second.fill()
    second.give_up()
    assert not first.fill()
    first.close()
    second.close()


def test_other_errors_are_not_hidden(tmp_path: Path, files: FaultyFiles) -> None:
    reserve = DiskReserve(tmp_path / "reserve", files, 100_000)
    files.reserve_error = errno.EIO
    with pytest.raises(OSError, match="Input/output"):
        reserve.fill()
    reserve.close()
