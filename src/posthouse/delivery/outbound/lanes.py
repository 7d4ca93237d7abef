"""All lanes of a sender, and how much of each kind may be in memory at once.

The bounds are such that no number of silent destinations takes the places of those that answer, and that destinations
nobody has tried yet find a place while others keep us waiting: what answers, what is new and what is silent is counted
apart. A lane holds one message before its first answer (see Lane).
"""

from collections.abc import Callable, Collection, Iterator

from posthouse.delivery.outbound.lane import DeliveryJob, Lane, LaneState
from posthouse.queue.interface import Key

LIVE_AT_MOST = 2000  # messages for destinations that answer
NEW_AT_MOST = 200  # for those that were asked only now
UNPROVEN_AT_MOST = 1500  # for new and silent ones together: each is a connection that waits
_REMEMBERED = 5000  # lanes that nothing waits for, with what is known of their being down


class Lanes:
    """`make` makes the lane of a destination; `clock` is the loop's."""

    def __init__(self, make: Callable[[str], Lane], clock: Callable[[], float]) -> None:
        self._make = make
        self._clock = clock
        self._lanes: dict[str, Lane] = {}
        self._held = dict.fromkeys(LaneState, 0)

    def __iter__(self) -> Iterator[Lane]:
        return iter(self._lanes.values())

    @property
    def held(self) -> int:
        """Messages in memory."""
        return sum(self._held.values())

    def get(self, destination: str) -> Lane:
        """The lane of a destination; made when there is none."""
        lane = self._lanes.get(destination)
        if lane is None:
            lane = self._lanes[destination] = self._make(destination)
        return lane

    def room(self, destination: str) -> int:
        """How many more messages may be held for it."""
        lane = self._lanes.get(destination)
        if lane is None:
            return min(1, self.new_room())
        room = lane.room(self._clock())
        return min(room, self._live_room()) if lane.state is LaneState.LIVE else min(room, self.new_room())

    def new_room(self) -> int:
        """How many messages more for destinations that are not known to answer."""
        new = self._held[LaneState.NEW]
        return min(NEW_AT_MOST - new, UNPROVEN_AT_MOST - new - self._held[LaneState.QUIET])

    def _live_room(self) -> int:
        return LIVE_AT_MOST - self._held[LaneState.LIVE]

    def names(self) -> list[str]:
        """The destinations that have a lane."""
        return list(self._lanes)

    def open(self) -> list[str]:
        """The destinations whose lanes take more."""
        return [name for name in self._lanes if self.room(name) > 0]

    def down(self) -> list[str]:
        """The destinations that are left alone now, since nobody could be reached; but not those refused for good."""
        now = self._clock()
        return [name for name, lane in self._lanes.items() if lane.is_down(now) and lane.room(now) <= 0]

    def shares(self) -> Callable[[str], int]:
        """How many messages of each destination to take, asked for one after the other."""
        given = dict.fromkeys(LaneState, 0)

        def share(destination: str) -> int:
            lane = self._lanes.get(destination)
            state = lane.state if lane is not None else LaneState.NEW
            free = (self._live_room() if state is LaneState.LIVE else self.new_room()) - given[state]
            wanted = max(0, min(self.room(destination), free))
            given[state] += wanted
            return wanted

        return share

    def add(self, lane: Lane, job: DeliveryJob) -> None:
        """A message more waits."""
        job.since = self._clock()
        lane.jobs.append(job)
        lane.held += 1
        self._held[lane.state] += 1

    def done(self, lane: Lane) -> None:
        """A message of the lane is in memory no more."""
        lane.held -= 1
        self._held[lane.state] -= 1
        self.update_state(lane)

    def update_state(self, lane: Lane) -> None:
        """Count it as what it is now."""
        state = lane.current_state(self._clock())
        if state is not lane.state:
            self._held[lane.state] -= lane.held
            self._held[state] += lane.held
            lane.state = state

    def update_states(self) -> None:
        """As time goes by some turn silent."""
        for lane in self:
            self.update_state(lane)

    def forget(self) -> None:
        """Drop the lanes that nothing would be lost with."""
        now = self._clock()
        idle = [name for name, lane in self._lanes.items() if lane.is_idle]
        spare = len(idle) - _REMEMBERED
        for n, name in enumerate(idle):
            if n < spare or self._lanes[name].is_forgettable(now):
                del self._lanes[name]

    def take_out(self, keys: Collection[Key]) -> set[Key]:
        """Strike recipients from the messages that wait; those that are being tried stay. Which were struck."""
        struck: set[Key] = set()
        for lane in self:
            for job in list(lane.jobs):
                out = {one.key for one in job.waiting if one.key in keys}
                job.waiting = [one for one in job.waiting if one.key not in out]
                struck |= out
                if not job.waiting:
                    lane.jobs.remove(job)
                    self.done(lane)
        return struck
