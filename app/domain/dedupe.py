"""Which ticks were seen before, by identity, over a bounded window.

Identity is (venue, symbol, trade_id); a tick without an id is identified by its content with
`sequence`, without what differs between two deliveries of one tick (ingest_time, source). A
correction or a cancel is identified by both: a trade may be corrected twice.
Identities are 64-bit row hashes: at 500,000 remembered ticks a new one is mistaken for a repeat
with probability 3e-14. They live in memory only and are rebuilt from the end of ticks.v1.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

SMALL: Final = 512
"""Blocks up to this size go into a Python set: merging them into an array costs more."""

_ID = ("venue", "symbol", "trade_id")
_CONTENT = (
    "venue", "symbol", "event_time", "sequence", "price", "size",
    "bid", "ask", "bid_size", "ask_size", "action",
)  # fmt: skip
Hashes = npt.NDArray[np.uint64]


def identities(ticks: pl.DataFrame) -> Hashes:
    """Return the identity of each of the n ticks, n unsigned 64-bit integers."""
    by_id = ticks["trade_id"].is_not_null() & (ticks["action"] == "NEW")
    if by_id.all():
        return _hash(ticks, _ID)
    by_content = _hash(ticks, (*_CONTENT, "trade_id"))
    if not by_id.any():
        return by_content
    return np.where(by_id.to_numpy(), _hash(ticks, _ID), by_content)


def _hash(ticks: pl.DataFrame, columns: tuple[str, ...]) -> Hashes:
    return ticks.select(columns).hash_rows(seed=0x5EED).to_numpy()


class Seen:
    """The identities of the last `window` to 2 x `window` ticks.

    Args:
        window: Ticks remembered at least.
    """

    def __init__(self, window: int) -> None:
        self.window = window
        self._recent: set[int] = set()
        self._current: Hashes = np.empty(0, np.uint64)
        self._previous: Hashes = np.empty(0, np.uint64)

    def unseen(self, hashes: Hashes) -> npt.NDArray[np.bool_]:
        """Return which of `hashes` are new, and remember them; a repeat within them is not."""
        if len(hashes) <= SMALL:
            return self._unseen_few(hashes)
        self._merge()
        new = np.zeros(len(hashes), np.bool_)
        distinct, first = np.unique(hashes, return_index=True)
        known = _contains(self._current, distinct) | _contains(self._previous, distinct)
        new[first[~known]] = True
        self._add(distinct[~known])
        return new

    def _unseen_few(self, hashes: Hashes) -> npt.NDArray[np.bool_]:
        known = _contains(self._current, hashes) | _contains(self._previous, hashes)
        new = np.zeros(len(hashes), np.bool_)
        for n, value in enumerate(hashes.tolist()):
            if not known[n] and value not in self._recent:
                new[n] = True
                self._recent.add(value)
        if len(self._recent) > 8 * SMALL:
            self._merge()
        return new

    def _merge(self) -> None:
        if self._recent:
            self._add(np.sort(np.fromiter(self._recent, np.uint64, len(self._recent))))
            self._recent.clear()

    def _add(self, ordered: Hashes) -> None:
        at = np.searchsorted(self._current, ordered)
        self._current = np.insert(self._current, at, ordered)
        if len(self._current) >= self.window:
            self._previous, self._current = self._current, np.empty(0, np.uint64)


def _contains(ordered: Hashes, wanted: Hashes) -> npt.NDArray[np.bool_]:
    if not len(ordered):
        return np.zeros(len(wanted), np.bool_)
    at = np.searchsorted(ordered, wanted)
    at[at == len(ordered)] = 0
    return np.asarray(ordered[at] == wanted, np.bool_)
