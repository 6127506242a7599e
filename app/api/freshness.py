"""How old an answer is: from how far each worker's commits are behind the ends of its topics.

Twice a second the broker is asked for the ends of the topics and the commits of the groups. A
group has taken all that was there at the last moment whose ends its commits have reached; what
came since is what it may not have. Ages of a chain add up: what Redis lacks is what `hot` has not
taken, and what `compute` had not made of the raw ticks by then. Nothing is asked of the workers.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import NamedTuple

LOOK_EVERY_S = 0.5
LOOKS_KEPT = 3_600
"""Ages beyond half an hour are told as at least that."""


class Origin(Enum):
    """Where an answer came from."""

    TOPICS = "topics"
    HOT = "hot"
    WARM = "warm"


class Place(NamedTuple):
    """How far a worker's role has come in one partition of what it reads."""

    role: str
    topic: str
    partition: int
    committed: int
    end: int


CHAIN: Mapping[Origin, Sequence[str]] = {
    Origin.TOPICS: ("compute",),
    Origin.HOT: ("compute", "hot"),
    Origin.WARM: ("compute", "warm"),
}
"""Roles whose work an answer rests on."""


class Age(NamedTuple):
    """How old an answer is at most, and whether it must be called stale."""

    age_s: float
    stale: bool


class Freshness:
    """The looks at the broker, and what follows.

    Args:
        stale_after_s: An older answer is stale.
        now_s: The clock's reading at the start: nothing is known of before.
    """

    def __init__(self, stale_after_s: float, now_s: float) -> None:
        self._stale_after_s = stale_after_s
        self._began_s = now_s
        self._looked_s = now_s
        self._ends: deque[tuple[float, dict[tuple[str, int], int]]] = deque(maxlen=LOOKS_KEPT)
        self.places: Sequence[Place] = ()
        """As they were at the last look."""
        self._taken_s: dict[str, float | None] = {}

    def observe(self, now_s: float, places: Sequence[Place]) -> None:
        """Take a look at the broker that was begun at `now_s`."""
        ends = {(place.topic, place.partition): place.end for place in places}
        self._ends.append((now_s, ends))
        self.places = tuple(places)
        self._looked_s = now_s
        for role in {place.role for place in places}:
            mine = [place for place in places if place.role == role]
            self._taken_s[role] = self._whole_until_s(mine)

    def _whole_until_s(self, mine: Sequence[Place]) -> float | None:
        """Return the last moment of whose records none is missing; None if before all looks."""

        def lacks(look: tuple[float, dict[tuple[str, int], int]]) -> bool:
            ends = look[1]
            return any(
                max(place.committed, 0) < ends.get((place.topic, place.partition), 0)
                for place in mine
            )

        # Ends only rise, so from one look on all are lacking.
        index = bisect_right(self._ends, x=False, key=lacks)
        return self._ends[index - 1][0] if index else None

    def age(self, now_s: float, *origins: Origin) -> Age:
        """Return how old what these hold is; the oldest of them counts.

        Before the first look nothing is known: then all is as old as this process.
        """
        return max(self._age(now_s, origin) for origin in origins)

    def _age(self, now_s: float, origin: Origin) -> Age:
        age_s, known = max(0.0, now_s - self._looked_s), True
        for role in CHAIN[origin]:
            taken_s = self._taken_s.get(role)
            known &= taken_s is not None
            age_s += self._looked_s - (self._began_s if taken_s is None else taken_s)
        return Age(age_s, not known or age_s > self._stale_after_s)

    def contact_s(self, now_s: float) -> float:
        """Return how long ago the broker answered."""
        return now_s - self._looked_s
