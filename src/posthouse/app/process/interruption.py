"""Signals that ask for an end: a start leaves nothing behind, long work ends at a good place and says what is done.

Once a server serves, each signal has a meaning of its own (parent.py, lifetime.py).
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class InterruptedByError(BaseException):
    """A signal asks for the end. Like KeyboardInterrupt no error, so that nothing takes it for one."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


@contextmanager
def interruptible() -> Iterator[ExitStack]:
    """Within the block SIGINT, SIGTERM and SIGHUP raise InterruptedByError, one of them, once.

    What was made joins the stack: it is cleaned up at the end, however that comes, undisturbed by a second signal.
    Signals that are ignored (nohup) stay so, and so do those that the block itself ignores at its end, because the
    program ends. To be used in the main thread.
    """
    caught = [number for number in _ENDING if signal.getsignal(number) is not signal.SIG_IGN]

    interrupted = False

    def interrupt(number: int, _: FrameType | None) -> None:
        nonlocal interrupted
        interrupted = True
        ignore()
        raise InterruptedByError(number)

    def ignore() -> None:
        for each in caught:
            signal.signal(each, signal.SIG_IGN)

    before = {number: signal.signal(number, interrupt) for number in caught}
    try:
        with ExitStack() as undo:
            try:
                yield undo
            finally:
                ended = not interrupted and all(signal.getsignal(number) is signal.SIG_IGN for number in caught)
                ignore()
    finally:
        for number, handler in before.items():
            if not ended:
                signal.signal(number, handler)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Within the block such signals wait: something is made and noted, or neither. For the main thread.

    The handlers are exchanged, the signals are not blocked: blocked here, any other thread would take them.
    """
    came: list[int] = []
    before = {number: signal.getsignal(number) for number in _ENDING}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, lambda number, _frame: came.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for first in came[:1]:
            signal.raise_signal(first)  # for the handlers that act again


@contextmanager
def noted_interruption() -> Iterator[Callable[[], bool]]:
    """Within the block the first signal to end is noted, and no more; the second one acts as ever.

    The block gets what says whether one came. For the main thread.
    """
    came = False

    def note(_number: int, _frame: FrameType | None) -> None:
        nonlocal came
        came = True
        restore()

    before = {number: signal.getsignal(number) for number in _ENDING}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    for number, handler in before.items():
        if handler is not signal.SIG_IGN:  # nohup
            signal.signal(number, note)
    try:
        yield lambda: came
    finally:
        restore()
