"""The rows of an agent's state, as their changelog has them up to an offset.

Faust's table in memory forgets what it read when partitions move, and begins each changelog anew.
These rows know how far they go, so a partition that stays is restored without reading. Rows that
the worker wrote itself are put here as well; until `settle` says how far they go, what is read
again gives the same rows.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import faust
from faust.stores.memory import Store
from faust.types import TP


class Record(Protocol):
    """What is read of a changelog's record."""

    key: bytes
    value: bytes | None
    offset: int


class Rows(Store):  # type: ignore[misc]  # Faust is untyped
    """Rows by partition."""

    def __post_init__(self) -> None:
        """Begin without any; Faust calls it."""
        super().__post_init__()
        self._rows: dict[int, dict[bytes, bytes]] = defaultdict(dict)
        self._through: dict[int, int] = {}

    def of(self, partition: int) -> Mapping[bytes, bytes]:
        """Return the rows of a partition."""
        return self._rows[partition]

    def read(self, partition: int, records: Sequence[Record]) -> None:
        """Take what the changelog holds next, in its order."""
        through = self._through.get(partition, -1)
        self.write(partition, ((r.key, r.value) for r in records if r.offset > through))
        self._through[partition] = max(through, records[-1].offset)

    def write(self, partition: int, records: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Take what goes to the end of the changelog; None forgets a key."""
        rows = self._rows[partition]
        for key, value in records:
            if value is None:
                rows.pop(key, None)
            else:
                rows[key] = value

    def settle(self, partition: int, through: int) -> None:
        """Note that all records up to an offset are in."""
        self._through[partition] = through

    def persisted_offset(self, tp: TP) -> int | None:
        """Return up to where the changelog needs no reading."""
        return self._through.get(tp.partition)

    def apply_changelog_batch(self, *_: Any, **__: Any) -> None:
        """Do nothing: the transport has put the records in (`read`)."""

    async def on_recovery_completed(self, active_tps: set[TP], standby_tps: set[TP]) -> None:
        """Forget the partitions that went elsewhere."""
        kept = {tp.partition for tp in active_tps | standby_tps}
        for partition in [each for each in self._rows if each not in kept]:
            del self._rows[partition]
            self._through.pop(partition, None)


class StateTable(faust.Table):  # type: ignore[misc]
    """A Faust table that keeps `Rows`."""

    def _new_store(self) -> Rows:
        return Rows("memory://", self.app, self, table_name=self.name, loop=self.loop)
