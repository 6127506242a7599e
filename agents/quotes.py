"""ticks.v1 → quotes.v1: the latest quote of each symbol, conflated.

Shape: one `QuoteBook` a partition, kept in memory only. After a restart the first quote of each
symbol is published again; readers compare (event_time, sequence, tick_offset).
"""

from app.domain.quotes import QuoteBook
from app.engine.block import Block
from app.engine.stage import Stateless
from app.outlets import Outlets


class Quotes(Stateless):
    """Quotes of one partition."""

    def __init__(self, book: QuoteBook, outlets: Outlets) -> None:
        self._core = book
        self._out = outlets

    async def apply(self, block: Block) -> None:
        """Take one block; one without a quote is not decoded for it."""
        places = block.columns()
        if places is None or places.has_any("bid", "ask"):
            self._core.fold(block.decoded().frame)

    def emit(self, *, full: bool) -> None:  # noqa: ARG002 - a quote never waits
        """Publish every quote that changed."""
        self._out.quotes(self._core.emit(), self._core.partition)
