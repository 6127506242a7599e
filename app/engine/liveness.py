"""When a worker must end itself: liveness means progress.

Each check raises, and the engine ends the process with nothing acked; a restart replays from the
last checkpoint. The clock is handed in, so that tests need not wait.
"""

import time
from collections.abc import Callable, Mapping

from app.topics import TopicPartition

ALONE_FOR_S = 300.0
"""How long a worker may be without a group that counts it in: a broker that is away, too."""


class Liveness:
    """The restore deadline and the commit watchdog of one worker.

    Args:
        stuck_after_s: Commits that stand still for so long, behind what was read, are stuck.
        restore_within_s: State must be restored so soon after an assignment.
        clock_s: A monotonic clock.
    """

    def __init__(
        self,
        stuck_after_s: float,
        restore_within_s: float,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stuck_after_s = stuck_after_s
        self._restore_within_s = restore_within_s
        self._clock_s = clock_s
        self._began_s = clock_s()
        self._expected_s: float | None = None
        self._watched_s = clock_s()
        self._moved: dict[TopicPartition, tuple[int, float]] = {}

    def expect(self, partitions: int) -> None:
        """Partitions were assigned: their state must be restored in time."""
        self._expected_s = self._clock_s() if partitions else None

    def restored(self) -> None:
        """The state is restored."""
        self._expected_s = None
        self._moved.clear()

    def require_restored(self) -> None:
        """Refuse to wait for ever for a restore.

        Raises:
            TimeoutError: The state is not restored in time.
        """
        if self._expected_s is None:
            return
        if self._clock_s() - self._expected_s > self._restore_within_s:
            raise TimeoutError(f"not restored in {self._restore_within_s:.0f} s")

    def require_counted(self, heard_s_ago: float) -> None:
        """Refuse to go on for ever outside the group, where nothing is read.

        Args:
            heard_s_ago: Since the group's last answer to a heartbeat.

        Raises:
            TimeoutError: It has not answered for `ALONE_FOR_S`.
        """
        alone_s = min(heard_s_ago, self._clock_s() - self._began_s)
        if alone_s > ALONE_FOR_S:
            raise TimeoutError(f"the group has not counted this worker in for {alone_s:.0f} s")

    def watch(
        self, read: Mapping[TopicPartition, int], committed: Mapping[TopicPartition, int]
    ) -> None:
        """Look at every partition: next offset to read, and next to commit.

        Raises:
            TimeoutError: A partition was read further and its commits stand still.
        """
        now = self._clock_s()
        if now - self._watched_s > self._stuck_after_s / 4:
            self._moved.clear()  # nothing was watched for long: a store was away, all start anew
        self._watched_s = now
        for tp, through in read.items():
            at = committed.get(tp, 0)
            stood_at, since = self._moved.setdefault(tp, (at, now))
            if at >= through or at != stood_at:
                self._moved[tp] = at, now
            elif now - since > self._stuck_after_s:
                where = f"{tp.topic}[{tp.partition}]"
                raise TimeoutError(f"{where} was read to {through} and stands at {at}")
