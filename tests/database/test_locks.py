import threading
from pathlib import Path

from posthouse.database.locks import FileLock


def test_one_holder_at_a_time(tmp_path: Path) -> None:
    first, second = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    order: list[str] = []
    waits = threading.Event()

    def wait() -> None:
        waits.set()
        with second:
            order.append("second")

    thread = threading.Thread(target=wait)
    with first:
        thread.start()
        waits.wait()
        thread.join(0.05)
        assert thread.is_alive()
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    first.close()
    second.close()


def test_an_exception_gives_it_back(tmp_path: Path) -> None:
    first, second = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    try:
        with first:
            raise ValueError
    except ValueError:
        with second:
            pass
    first.close()
    second.close()
