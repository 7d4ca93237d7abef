import threading

import pytest

from posthouse.accounts.pool import HashingPool, PoolFullError


def test_a_full_pool_refuses_at_once_and_recovers() -> None:
    pool = HashingPool(1, waiting=2)
    go = threading.Event()
    jobs = [pool.submit(go.wait, 30) for _ in range(3)]
    with pytest.raises(PoolFullError):
        pool.submit(go.wait, 30)
    go.set()
    assert [job.result(30) for job in jobs] == [True] * 3
    assert pool.submit(pow, 2, 5).result(30) == 32
    pool.close()


def test_a_job_that_raises_gives_its_place_back() -> None:
    pool = HashingPool(1, waiting=0)
    for _ in range(3):
        assert isinstance(pool.submit(int, "x").exception(30), ValueError)
    pool.close()


def test_closing_drops_what_waits() -> None:
    pool = HashingPool(1, waiting=1)
    go = threading.Event()
    running = pool.submit(go.wait, 30)
    waiting = pool.submit(go.wait, 30)
    threading.Timer(0.05, go.set).start()
    pool.close()
    assert running.result(30) and waiting.cancelled()
    with pytest.raises(RuntimeError):
        pool.submit(go.wait, 30)
