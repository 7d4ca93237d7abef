"""Runs a coroutine at once, as far as it goes without waiting.

Most commands are answered from memory: for them a task of their own would cost more than the answer.
"""

from collections.abc import Awaitable, Coroutine, Generator
from typing import Any


def eagerly(work: Coroutine[Any, Any, None]) -> Awaitable[None] | None:
    """None when it is done; else what is to be awaited for the rest of it."""
    try:
        first = work.send(None)
    except StopIteration:
        return None
    return _Rest(work, first)


class _Rest:
    """A coroutine that waits for `first`, which it has said already."""

    __slots__ = ("_first", "_work")

    def __init__(self, work: Coroutine[Any, Any, None], first: object) -> None:
        self._work = work
        self._first = first

    def __await__(self) -> Generator[Any, Any, None]:
        waited = self._first
        while True:
            failure: BaseException | None = None
            try:
                yield waited
            except BaseException as error:  # the task is cancelled: the coroutine is to hear of it
                failure = error
            try:
                waited = self._work.send(None) if failure is None else self._work.throw(failure)
            except StopIteration:
                return
