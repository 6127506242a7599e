"""From raw ticks to accepted ones: refuse, reroute, deduplicate, flag, and watch for gaps.

One `Normalizer` owns one partition of ticks.raw.v1. It is pure: the only clock is the time at
which Kafka appended each record. What it accepts is published in raw order, each tick carrying
its raw offset, so that a repeat after a crash can be recognised downstream.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from app.domain.dedupe import Seen, identities
from app.domain.quality import REPEATS_SHIFT, Quality
from app.domain.refuse import Refusal, refusals
from app.domain.watch import SERIES, Limits, Watch
from app.errors import ConfigError
from schemas.packed import Positions

STATE_VERSION = 2


@dataclass(frozen=True, slots=True)
class Rules:
    """What normalization is told.

    Attributes:
        partition_of: Partition of a symbol, murmur2 as every producer's.
        canonical: Canonical symbol of (venue, symbol).
        limits: What ticks are flagged by.
        max_future_us: How far event_time may be ahead of Kafka's append time.
        quarantine_jumps: Refuse a jump instead of flagging it.
        dedupe_window: Ticks remembered at least.
        max_series: Series (venue and symbol) of one partition; ticks of one more are refused.
    """

    partition_of: Callable[[str], int]
    canonical: Callable[[str, str], str]
    limits: Limits
    max_future_us: int
    quarantine_jumps: bool
    dedupe_window: int
    max_series: int


@dataclass(frozen=True, slots=True)
class Normalized:
    """What became of one block; every row is in exactly one of the first four.

    Attributes:
        accepted: `row` (index into the block), `offset` and `quality` (int32), in raw order.
        refused: Rows for the dead letters, with reason and detail.
        rerouted: Rows that belong to another partition, with their canonical symbol.
        duplicates: Rows seen before.
        gaps: Records of gap.avsc, found or repaired.
        flags: How many accepted rows carry each flag, by name.
    """

    accepted: pl.DataFrame
    refused: list[Refusal]
    rerouted: list[tuple[int, str]]
    duplicates: list[int]
    gaps: list[dict[str, object]]
    flags: dict[str, int]


class Normalizer:
    """Normalization of one partition.

    Args:
        rules: What normalization is told.
        partition: The partition of ticks.raw.v1.

    Attributes:
        offset: Highest offset applied; set by the engine after each block.
    """

    def __init__(self, rules: Rules, partition: int) -> None:
        self.rules = rules
        self.partition = partition
        self.offset = -1
        self.seen = Seen(rules.dedupe_window)
        self._watch = Watch(rules.limits, partition)

    def remember(self, ticks: pl.DataFrame) -> None:
        """Take ticks already published, so that their repeats are known; tick.avsc's columns."""
        self.seen.unseen(identities(ticks))

    def apply(
        self, ticks: pl.DataFrame, keys: Sequence[bytes | None], appended_us: Positions
    ) -> Normalized:
        """Normalize one block.

        Args:
            ticks: The n decodable rows in offset order: tick.avsc's columns, `row` (index into
                `keys`) and `offset`.
            keys: The Kafka key of every record of the block.
            appended_us: When Kafka appended each record of the block, µs.
        """
        append_us = int(appended_us[-1])
        ticks, refused = refusals(ticks, keys, appended_us + self.rules.max_future_us)
        ticks, rerouted, unlisted = self._ours(ticks)
        refused += unlisted
        new = pl.Series(self.seen.unseen(identities(ticks)), dtype=pl.Boolean)
        is_trade = ticks["action"] == "NEW"
        new &= ~(self._watch.proven(ticks) & is_trade)
        duplicates = ticks["row"].filter(~new).to_list()
        repeated = ticks.filter(~new) if duplicates else ticks.clear()
        ticks = ticks.filter(new) if duplicates else ticks
        amendments = ticks.filter(ticks["action"] != "NEW")
        if len(amendments):
            ticks = ticks.filter(ticks["action"] == "NEW")
        quality = self._watch.quality(ticks, append_us)
        if self.rules.quarantine_jumps:
            ticks, quality, jumped = self._quarantined(ticks, quality)
            refused += jumped
        gaps = self._watch.gaps(ticks)
        flags = _count(quality)
        if duplicates or self._watch.owes:
            quality = quality + self._watch.repeats(repeated, ticks) * (1 << REPEATS_SHIFT)
        return Normalized(
            _in_raw_order(ticks.select("row", "offset", quality=quality), amendments),
            refused,
            rerouted,
            duplicates,
            gaps,
            flags,
        )

    def save(self) -> Iterator[tuple[str, str | None]]:
        """Yield (key, JSON value) of all that changed since the last call."""
        yield from self._watch.save()
        yield "", json.dumps([STATE_VERSION, self.offset, self._watch.stream_us])

    def restore(self, rows: Iterable[tuple[str, str]]) -> None:
        """Put back what `save` yielded.

        Raises:
            ConfigError: It was saved by another version.
        """
        # The fence first: it says which version the others are of.
        for key, value in sorted(rows):
            fields = json.loads(value)
            if not key:
                version, self.offset, self._watch.stream_us = fields
                if version != STATE_VERSION:
                    raise ConfigError(
                        f"saved normalization must be of version {STATE_VERSION}, was of "
                        f"{version}; a new TAPELINE_GROUP begins anew"
                    )
                continue
            self._watch.restore(key, fields)

    def _ours(
        self, ticks: pl.DataFrame
    ) -> tuple[pl.DataFrame, list[tuple[int, str]], list[Refusal]]:
        """Take out ticks of another symbol or partition, and of series beyond the limit.

        Each series takes memory, here and in its bars.
        """
        moved: dict[tuple[str, str], str] = {}
        beyond: set[tuple[str, str]] = set()
        for venue, symbol in ticks.select(SERIES).unique(maintain_order=True).iter_rows():
            canonical = self.rules.canonical(venue, symbol)
            if canonical != symbol or self.rules.partition_of(symbol) != self.partition:
                moved[venue, symbol] = canonical
            elif (venue, symbol) in self._watch:
                continue
            elif len(self._watch) < self.rules.max_series:
                self._watch.of(venue, symbol)
            else:
                beyond.add((venue, symbol))
        if not moved and not beyond:
            return ticks, [], []
        pairs = pl.DataFrame([*moved, *beyond], schema=list(SERIES), orient="row")
        others = ticks.join(pairs, on=SERIES, maintain_order="left").select("row", *SERIES)
        rest = ticks.join(pairs, on=SERIES, how="anti", maintain_order="left")
        rule = f"the series of a partition must be at most MAX_SERIES, {self.rules.max_series}"
        rerouted, refused = [], []
        for row, venue, symbol in others.iter_rows():
            if (venue, symbol) in moved:
                rerouted.append((row, moved[venue, symbol]))
            else:
                detail = f"{rule}; {symbol}@{venue} is one more"
                refused.append(Refusal(row, "too_many_series", detail))
        return rest, rerouted, refused

    def _quarantined(
        self, ticks: pl.DataFrame, quality: pl.Series
    ) -> tuple[pl.DataFrame, pl.Series, list[Refusal]]:
        """Refuse the ticks whose price is flagged a jump."""
        jumped = (quality & Quality.PRICE_JUMP.value) != 0
        rule = f"price must be within {self.rules.limits.jump_limit:.0%} of the one before"
        rows = ticks.filter(jumped).select("row", "price").iter_rows()
        refused = [Refusal(row, "price_jump", f"{rule}, was {price}") for row, price in rows]
        return ticks.filter(~jumped), quality.filter(~jumped), refused


def _in_raw_order(ticks: pl.DataFrame, amendments: pl.DataFrame) -> pl.DataFrame:
    """Put corrections and cancels, which nothing is judged by, back to their places."""
    if amendments.is_empty():
        return ticks
    unflagged = amendments.select("row", "offset", quality=pl.lit(0, pl.Int32))
    return pl.concat([ticks, unflagged]).sort("offset")


def _count(quality: pl.Series) -> dict[str, int]:
    if not (quality != 0).any():
        return {}
    counts = {flag.name or "": int(((quality & flag.value) != 0).sum()) for flag in Quality}
    return {name: count for name, count in counts.items() if count}
