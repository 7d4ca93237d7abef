"""Runs schedules and makes those that fail short."""

import itertools
import random
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tests.stateful.machine import Machine, scratch
from tests.stateful.schedules import Schedule, make_schedule, show, shrink
from tests.stateful.workers import Workshop, WrongError

LENGTH = 30  # steps of a schedule


@dataclass(frozen=True, slots=True)
class Failure:
    """A schedule that breaks a promise."""

    seed: int
    schedule: Schedule
    what: str

    def __str__(self) -> str:
        return (
            f"{self.what}\n\nAgain with POSTHOUSE_STATEFUL_SEED={self.seed}; made as short as it could be:\n"
            f"{show(self.schedule)}"
        )


class Explorer:
    """Counts what it runs."""

    def __init__(self) -> None:
        self._workshop = Workshop()
        self.stats: Counter[str] = Counter()

    def __enter__(self) -> "Explorer":
        return self

    def __exit__(self, *failure: object) -> None:
        self._workshop.close()

    def run(self, schedule: Schedule) -> str:
        """What promise it breaks; "" when none."""
        self.stats["schedules"] += 1
        with scratch() as folder:
            try:
                Machine(self._workshop, folder, self.stats).run(schedule)
            except WrongError as error:
                return str(error)
        return ""

    def search(self, seeds: Iterable[int], *, length: int = LENGTH, patience: float = 60) -> Failure | None:
        """The first that fails, made shorter for `patience` seconds."""
        for seed in seeds:
            schedule = make_schedule(seed, length)
            what = self.run(schedule)
            if what:
                return self._shorten(Failure(seed, schedule, what), time.monotonic() + patience)
        return None

    def _shorten(self, found: Failure, deadline: float) -> Failure:
        last = found

        def fails(schedule: Schedule) -> bool:
            nonlocal last
            what = self.run(schedule) if time.monotonic() < deadline else ""
            if what[:5] != found.what[:5]:  # in the same way
                return False
            last = Failure(found.seed, schedule, what)
            return True

        shrink(found.schedule, fails)
        return last

    def summary(self) -> str:
        """How much was run."""
        return "\n".join(f"{count:>9} {name}" for name, count in sorted(self.stats.items()))


def random_seeds(seconds: float) -> Iterator[int]:
    """New ones until the time is over."""
    end = time.monotonic() + seconds
    first = random.SystemRandom().randrange(1 << 40)
    return itertools.takewhile(lambda _: time.monotonic() < end, itertools.count(first))
