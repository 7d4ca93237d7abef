"""Is the cost of something linear in its size?"""

import gc
import time
from collections.abc import Callable

_FLOOR = 0.004  # seconds below which nothing matters
_TRIES = 4


def grows_no_faster(make: Callable[[int], Callable[[], object]], count: int) -> None:
    """Assert that the work for four times as many takes at most five times as long: the least of some tries."""
    for _ in range(_TRIES):
        short, long = _seconds(make(count)), _seconds(make(4 * count))
        if long <= 5 * max(short, _FLOOR):
            return
    raise AssertionError(f"{long / short:.1f} times as long: {short:.4f} s, {long:.4f} s")


def _seconds(work: Callable[[], object]) -> float:
    best = float("inf")
    gc.disable()  # its rounds come with the number of objects, whoever made them
    try:
        for _ in range(2):
            began = time.process_time()
            work()
            best = min(best, time.process_time() - began)
    finally:
        gc.enable()
    return best
