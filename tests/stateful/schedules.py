"""Schedules: what is to happen, as values. One seed gives one schedule; a step keeps its meaning when others are left
out, so a schedule that fails can be made shorter.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from tests.stateful.faulty_disk import BROKEN, FULL, KILL, POINTS, Fault

WORKERS = 2
_ORDERS = {
    "deliver": 30,
    "append": 12,
    "mark": 8,
    "copy": 5,
    "move": 6,
    "remove": 9,
    "expunge": 6,
    "create": 6,
    "rename": 4,
    "delete": 3,
    "subscribe": 2,
    "create_default_mailboxes": 2,
    "forget": 1,
    "note": 4,
}
_STEPS = {
    "group": 60,
    "reap": 8,
    "stop": 6,
    "go_on": 6,
    "kill": 3,
    "close": 3,
    "clock": 4,
    "repair": 3,
    "inspect": 3,
    "heal": 4,
}
_MOMENTS = (0, 0, 0, 0, 1, 1, 2, 3, 5)  # calls that still succeed


@dataclass(frozen=True, slots=True)
class Chosen:
    """One order of a group: `seed` decides its details when its turn has come."""

    worker: int
    kind: str
    seed: int
    cancelled: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """`kind`: group (orders given at once), reap, stop (the reaper between two of its steps), go_on (with it), kill,
    close (and open again), clock, repair, inspect or heal.
    """

    kind: str
    worker: int = 0
    seed: int = 0
    orders: tuple[Chosen, ...] = ()
    faults: tuple[tuple[int, Fault], ...] = ()  # with whose disk it is


Schedule = tuple[Step, ...]


def make_schedule(seed: int, length: int) -> Schedule:
    """The schedule of a seed. Each has a taste of its own: few kinds of orders and faults, or many."""
    rng = random.Random(seed)
    orders = {kind: weight * rng.choice((0, 1, 1, 3)) for kind, weight in _ORDERS.items()}
    orders["deliver"] = orders["deliver"] or 10
    steps = {kind: weight * rng.choice((0, 1, 1, 2)) for kind, weight in _STEPS.items()}
    steps["group"] = _STEPS["group"]
    points = rng.sample((*POINTS, "pages"), rng.choice((0, 1, 2, 4, len(POINTS) + 1)))
    hows = rng.choice(((BROKEN,), (FULL,), (KILL,), (BROKEN, FULL), (BROKEN, FULL, KILL)))
    often = rng.choice((0.1, 0.3, 0.6))
    return tuple(_step(rng, steps, orders, lambda: _faults(rng, points, hows, often)) for _ in range(length))


def _step(
    rng: random.Random,
    steps: dict[str, int],
    orders: dict[str, int],
    faults: Callable[[], tuple[tuple[int, Fault], ...]],
) -> Step:
    kind = rng.choices(list(steps), list(steps.values()))[0]
    step = Step(kind, rng.randrange(WORKERS), rng.randrange(1 << 30))
    if kind == "group":
        one = rng.randrange(WORKERS)
        both = rng.random() < 0.3
        chosen = [
            Chosen(
                rng.randrange(WORKERS) if both else one,
                rng.choices(list(orders), list(orders.values()))[0],
                rng.randrange(1 << 30),
                rng.random() < 0.03,
            )
            for _ in range(rng.choice((1, 1, 2, 3, 3, 4, 5)))
        ]
        return replace(step, orders=tuple(chosen), faults=faults())
    return replace(step, faults=faults()) if kind in ("reap", "go_on", "close") else step


def _faults(
    rng: random.Random, points: Sequence[str], hows: Sequence[str], often: float
) -> tuple[tuple[int, Fault], ...]:
    found: list[tuple[int, Fault]] = []
    while points and rng.random() < often and len(found) < 3:
        point, how = rng.choice(points), rng.choice(hows)
        if point == "pages":
            how = FULL
        lasting = how != KILL and rng.random() < 0.3
        found.append(
            (rng.randrange(WORKERS), Fault(point, how, rng.choice(_MOMENTS), lasting, part=rng.random() < 0.4))
        )
    return tuple(found)


def shrink(schedule: Schedule, fails: Callable[[Schedule], bool]) -> Schedule:
    """A shorter schedule that fails as well: steps left out, then orders and faults of each."""
    size = max(1, len(schedule) // 2)
    while size:
        at = 0
        while at < len(schedule):
            shorter = schedule[:at] + schedule[at + size :]
            if fails(shorter):
                schedule = shorter
            else:
                at += size
        size //= 2
    changed = True
    while changed:
        changed = False
        for shorter in _simpler(schedule):
            if fails(shorter):
                schedule, changed = shorter, True
                break
    return schedule


def _simpler(schedule: Schedule) -> Iterator[Schedule]:
    for at, step in enumerate(schedule):
        before, after = schedule[:at], schedule[at + 1 :]
        yield before + after
        for number in range(len(step.orders)):
            yield (*before, replace(step, orders=step.orders[:number] + step.orders[number + 1 :]), *after)
        for number in range(len(step.faults)):
            yield (*before, replace(step, faults=step.faults[:number] + step.faults[number + 1 :]), *after)


def show(schedule: Schedule) -> str:
    """As a Python value that can be pasted into a test."""
    return "(\n" + "".join(f"    {step!r},\n" for step in schedule) + ")"
