"""Live feeds, one file a venue: what the venue sends, as rows with the contract's field names."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from connectors.feeds import kraken

Feed = Callable[[Sequence[str]], Iterator[list[Mapping[str, Any]]]]
"""Takes canonical symbols; yields the rows of one message at a time, for ever."""

FEEDS: Mapping[str, Feed] = {"kraken": kraken.trades}
