import pytest

from app.engine.liveness import Liveness
from app.topics import TopicPartition

A, B = TopicPartition("t", 0), TopicPartition("t", 1)


class Clock:
    """A clock that a test moves."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def alive() -> tuple[Liveness, Clock]:
    clock = Clock()
    return Liveness(stuck_after_s=60, restore_within_s=80, clock_s=clock), clock


def test_a_restore_has_a_deadline_only_when_partitions_were_assigned() -> None:
    liveness, clock = alive()
    liveness.expect(0)
    clock.now_s += 1000
    liveness.require_restored()
    liveness.expect(4)
    clock.now_s += 80.1
    with pytest.raises(TimeoutError, match="not restored in 80 s"):
        liveness.require_restored()
    liveness.restored()
    liveness.require_restored()


def watched(liveness: Liveness, clock: Clock, seconds: int, read: int, at: int) -> None:
    for _ in range(seconds):
        clock.now_s += 1
        liveness.watch({A: read, B: 5}, {A: at, B: 5})


def test_commits_that_stand_behind_what_was_read_are_stuck() -> None:
    liveness, clock = alive()
    watched(liveness, clock, 60, read=9, at=3)
    with pytest.raises(TimeoutError, match=r"t\[0\] was read to 9 and stands at 3"):
        watched(liveness, clock, 2, read=9, at=3)


def test_an_idle_partition_and_one_that_moves_are_not_stuck() -> None:
    liveness, clock = alive()
    watched(liveness, clock, 200, read=9, at=9)
    for at in range(10, 16):
        watched(liveness, clock, 50, read=99, at=at)


def test_time_in_which_nothing_was_watched_does_not_count() -> None:
    """A store was away: the first look after it must not condemn the slower partition."""
    liveness, clock = alive()
    watched(liveness, clock, 30, read=9, at=3)
    clock.now_s += 300
    watched(liveness, clock, 50, read=9, at=3)


def test_a_worker_that_its_group_has_forgotten_ends() -> None:
    """Aiokafka does not always join again; a worker in no group reads nothing, and looks well."""
    liveness, clock = alive()
    clock.now_s += 299
    liveness.require_counted(1e9)  # never heard of yet, and just begun
    clock.now_s += 1000
    liveness.require_counted(300)
    with pytest.raises(TimeoutError, match="has not counted this worker in for 301 s"):
        liveness.require_counted(301)
