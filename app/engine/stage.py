"""What an agent does with the blocks of one partition."""

from collections.abc import Iterable, Iterator
from typing import Protocol

from app.engine.block import Block
from app.engine.checkpoint import Row


class Stage(Protocol):
    """One agent's work on one partition.

    Attributes:
        offset: Highest offset applied, -1 for none; the engine moves it after each block.
    """

    offset: int

    async def begin(self) -> None:
        """Get ready, with the state restored; may read Kafka or a store."""

    async def apply(self, block: Block) -> None:
        """Take one block beyond `offset`. An exception ends the process, nothing acked."""

    def emit(self, *, full: bool) -> None:
        """Publish what is owed: after blocks and every `emit_every`; all of it at checkpoints."""

    async def idle(self, now_us: int) -> None:
        """Take note of the broker's time: all that was written is applied. About once a second."""

    def save(self) -> Iterator[Row]:
        """Yield the rows that changed since the last call."""

    def restore(self, rows: Iterable[tuple[str, str]]) -> None:
        """Put back what `save` yielded up to the last checkpoint."""


class Stateless:
    """Base of stages that keep nothing: they resume at the committed offset."""

    offset = -1

    async def begin(self) -> None:
        """Nothing to get ready."""

    def emit(self, *, full: bool) -> None:
        """Nothing is owed between blocks."""

    async def idle(self, now_us: int) -> None:
        """Nothing waits for the time."""

    def save(self) -> Iterator[Row]:
        """Nothing to save."""
        return iter(())

    def restore(self, rows: Iterable[tuple[str, str]]) -> None:
        """Nothing to restore."""
