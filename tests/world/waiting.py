"""Waiting for what others do in their own time: a question asked again until it is answered or a deadline passes."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

SECONDS = 30.0
PAUSE = 0.03


def until(question: Callable[[], T], failure: Callable[[], str] | str, *, seconds: float = SECONDS) -> T:
    """The first true answer of `question`. After `seconds` without one it fails with `failure`."""
    limit = time.monotonic() + seconds
    while not (answer := question()):
        if time.monotonic() > limit:
            told = failure if isinstance(failure, str) else failure()
            raise AssertionError(f"not within {seconds} s: {told}")
        time.sleep(PAUSE)
    return answer
