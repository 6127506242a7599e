"""From raw ticks to accepted ones: refuse, reroute, deduplicate, flag, and watch for gaps.

One `Normalizer` owns one partition of ticks.raw.v1. It is pure: the only clock is the time at
which Kafka appended each record. What it accepts is published in raw order, each tick carrying
its raw offset, so that a repeat after a crash can be recognised downstream.
"""

import json
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, field

import numpy as np
import polars as pl

from app.domain.bars import instant
from app.domain.dedupe import Seen, identities
from app.domain.gaps import Gap, IdLedger
from app.domain.quality import MOST_REPEATS, REPEATS_SHIFT, Quality
from app.domain.refuse import Refusal, refusals
from app.domain.series import NEVER
from app.errors import ConfigError
from schemas.packed import Positions

STATE_VERSION = 2
SERIES = ("venue", "symbol")


@dataclass(frozen=True, slots=True)
class Rules:
    """What normalization is told.

    Attributes:
        partition_of: Partition of a symbol, murmur2 as every producer's.
        canonical: Canonical symbol of (venue, symbol).
        contiguous: Venues that number the trades of a symbol without holes.
        max_future_us: How far event_time may be ahead of Kafka's append time.
        stale_after_us: Age beyond which a tick is flagged stale.
        patience_us: How long a missing id may still arrive before it is a gap.
        jump_limit: Relative price change that is flagged, such as 0.10.
        quarantine_jumps: Refuse a jump instead of flagging it.
        dedupe_window: Ticks remembered at least.
        max_series: Series (venue and symbol) of one partition; ticks of one more are refused.
    """

    partition_of: Callable[[str], int]
    canonical: Callable[[str, str], str]
    contiguous: frozenset[str]
    max_future_us: int
    stale_after_us: int
    patience_us: int
    jump_limit: float
    quarantine_jumps: bool
    dedupe_window: int
    max_series: int


@dataclass(slots=True)
class Series:
    """What is remembered of one (venue, symbol)."""

    stream_us: int = NEVER
    last_price: float | None = None
    repeats: int = 0
    """Refused since its last tick."""
    ids: IdLedger = field(default_factory=IdLedger)


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
        self._stream_us = NEVER
        self._series: dict[tuple[str, str], Series] = {}
        self._unsaved: set[tuple[str, str]] = set()
        self._owing: set[tuple[str, str]] = set()
        """Series with repeats since their last tick."""

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
        ticks, rerouted = self._rerouted(ticks)
        ticks, unlisted = self._listed(ticks)
        refused += unlisted
        new = pl.Series(self.seen.unseen(identities(ticks)), dtype=pl.Boolean)
        is_trade = ticks["action"] == "NEW"
        new &= ~(self._proven(ticks) & is_trade)
        duplicates = ticks["row"].filter(~new).to_list()
        repeated = ticks.filter(~new) if duplicates else ticks.clear()
        ticks = ticks.filter(new) if duplicates else ticks
        amendments = ticks.filter(ticks["action"] != "NEW")
        if len(amendments):
            ticks = ticks.filter(ticks["action"] == "NEW")
        quality = self._quality(ticks, append_us)
        if self.rules.quarantine_jumps:
            jumped = (quality & Quality.PRICE_JUMP.value) != 0
            refused += [
                Refusal(row, "price_jump", f"price must be within {self.rules.jump_limit:.0%} "
                        f"of the one before, was {price}")
                for row, price in ticks.filter(jumped).select("row", "price").iter_rows()
            ]  # fmt: skip
            ticks, quality = ticks.filter(~jumped), quality.filter(~jumped)
        gaps = self._gaps(ticks)
        flags = _count(quality)
        if duplicates or self._owing:
            quality = quality + self._repeats(repeated, ticks) * (1 << REPEATS_SHIFT)
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
        for venue, symbol in sorted(self._unsaved):
            series = self._series[venue, symbol]
            ids = series.ids
            gaps = [astuple(gap) for gap in ids.gaps]
            ledger = ids.high, ids.high_us, ids.low, gaps
            state = [series.stream_us, series.last_price, series.repeats, *ledger]
            yield f"{symbol}@{venue}", json.dumps(state)
        self._unsaved.clear()
        yield "", json.dumps([STATE_VERSION, self.offset, self._stream_us])

    def restore(self, rows: Iterable[tuple[str, str]]) -> None:
        """Put back what `save` yielded.

        Raises:
            ConfigError: It was saved by another version.
        """
        # The fence first: it says which version the others are of.
        for key, value in sorted(rows):
            fields = json.loads(value)
            if not key:
                version, self.offset, self._stream_us = fields
                if version != STATE_VERSION:
                    raise ConfigError(
                        f"saved normalization must be of version {STATE_VERSION}, was of "
                        f"{version}; a new TAPELINE_GROUP begins anew"
                    )
                continue
            symbol, _, venue = key.rpartition("@")
            stream_us, last_price, repeats, high, high_us, low, gaps = fields
            ledger = IdLedger(high, high_us, low)
            for from_id, to_id, after_us, before_us, found_us, detected_us, missing, *_ in gaps:
                ranges = [(first, last) for first, last in missing]
                ledger.gaps.append(
                    Gap(from_id, to_id, after_us, before_us, found_us, detected_us, ranges)
                )
            self._series[venue, symbol] = Series(stream_us, last_price, repeats, ledger)
            if repeats:
                self._owing.add((venue, symbol))

    def _of(self, venue: str, symbol: str) -> Series:
        self._unsaved.add((venue, symbol))
        return self._series.setdefault((venue, symbol), Series())

    def _rerouted(self, ticks: pl.DataFrame) -> tuple[pl.DataFrame, list[tuple[int, str]]]:
        """Take out the ticks whose canonical symbol is another or lives in another partition."""
        moved = {
            (venue, symbol): canonical
            for venue, symbol in ticks.select(SERIES).unique().iter_rows()
            if (canonical := self.rules.canonical(venue, symbol)) != symbol
            or self.rules.partition_of(symbol) != self.partition
        }
        if not moved:
            return ticks, []
        pairs = pl.DataFrame([*moved], schema=list(SERIES), orient="row")
        rows = ticks.join(pairs, on=SERIES, maintain_order="left").select("row", *SERIES)
        rest = ticks.join(pairs, on=SERIES, how="anti", maintain_order="left")
        return rest, [(row, moved[venue, symbol]) for row, venue, symbol in rows.iter_rows()]

    def _listed(self, ticks: pl.DataFrame) -> tuple[pl.DataFrame, list[Refusal]]:
        """Refuse ticks of new series beyond the limit: each takes memory, here and in its bars."""
        unlisted = []
        for name in ticks.select(SERIES).unique(maintain_order=True).iter_rows():
            if name in self._series:
                continue
            if len(self._series) < self.rules.max_series:
                self._of(*name)
            else:
                unlisted.append(name)
        if not unlisted:
            return ticks, []
        pairs = pl.DataFrame(unlisted, schema=list(SERIES), orient="row")
        rows = ticks.join(pairs, on=SERIES, maintain_order="left").select("row", *SERIES)
        rest = ticks.join(pairs, on=SERIES, how="anti", maintain_order="left")
        rule = f"the series of a partition must be at most MAX_SERIES, {self.rules.max_series}"
        return rest, [
            Refusal(row, "too_many_series", f"{rule}; {symbol}@{venue} is one more")
            for row, venue, symbol in rows.iter_rows()
        ]

    def _proven(self, ticks: pl.DataFrame) -> pl.Series:
        """Return which ticks the ids of contiguous venues prove to be repeats, however old."""
        pairs = [
            (venue, symbol, high)
            for venue, symbol in ticks.select(SERIES).unique().iter_rows()
            if venue in self.rules.contiguous
            and (known := self._series.get((venue, symbol))) is not None
            and (high := known.ids.high) is not None
        ]
        none = pl.repeat(value=False, n=len(ticks), dtype=pl.Boolean, eager=True)
        if not pairs:
            return none
        highs = pl.DataFrame(pairs, schema=[*SERIES, "high"], orient="row")
        ids = ticks.select(*SERIES, id=pl.col("trade_id").cast(pl.Int64, strict=False)).join(
            highs, on=SERIES, how="left", maintain_order="left"
        )
        old = ids["id"] <= ids["high"]
        if not old.any():
            return none
        marks = [
            suspect is True and self._series[venue, symbol].ids.has(trade_id)
            for suspect, venue, symbol, trade_id in ids.select(
                old.alias("old"), *SERIES, "id"
            ).iter_rows()
        ]
        return pl.Series(marks, dtype=pl.Boolean)

    def _quality(self, ticks: pl.DataFrame, append_us: int) -> pl.Series:
        """Return the quality bits of each tick, int32, and move the series' stream times on."""
        at = pl.col("event_time").to_physical()
        price = pl.col("price").cast(pl.Float64)
        spans = ticks.group_by(SERIES).agg(
            low=at.min(),
            high=at.max(),
            cheapest=price.min(),
            dearest=price.max(),
            last=price.drop_nulls().last(),
            ordered=(at.diff().fill_null(0) >= 0).all(),
        )
        live = append_us - max(self._stream_us, _highest(spans)) <= self.rules.stale_after_us
        suspects, known = [], []
        limit = 1 + self.rules.jump_limit
        for venue, symbol, low, high, cheapest, dearest, last, ordered in spans.iter_rows():
            series = self._of(venue, symbol)
            before = series.last_price
            floor = low if before is None else min(low, series.stream_us)
            if (
                not ordered
                or low < series.stream_us
                or (append_us if live else high) - floor > self.rules.stale_after_us
                or (dearest is not None and _spread(cheapest, dearest, before) > limit)
            ):
                suspects.append((venue, symbol))
                known.append((venue, symbol, series.stream_us, before))
            series.stream_us = max(series.stream_us, high)
            self._stream_us = max(self._stream_us, high)
            series.last_price = before if last is None else last
        crossed = (pl.col("bid") > pl.col("ask")).fill_null(value=False)
        bits = crossed.cast(pl.Int32) * Quality.CROSSED.value
        if not suspects:
            return ticks.select(quality=bits)["quality"]
        states = pl.DataFrame(
            known,
            schema={"venue": pl.String, "symbol": pl.String, "was_us": pl.Int64, "was": pl.Float64},
            orient="row",
        )
        stream = pl.max_horizontal("was_us", at.cum_max().shift(1).over(SERIES))
        previous = price.forward_fill().shift(1).over(SERIES).fill_null(pl.col("was"))
        reference = pl.lit(append_us) if live else stream
        jump = (price / previous - 1).abs() > self.rules.jump_limit
        for flag, when in (
            (Quality.OUT_OF_ORDER, at < stream),
            (Quality.PRICE_JUMP, jump),
            (Quality.STALE, reference - at > self.rules.stale_after_us),
        ):
            bits = bits + when.fill_null(value=False).cast(pl.Int32) * flag.value
        joined = ticks.join(states, on=SERIES, how="left", maintain_order="left")
        return joined.select(quality=bits)["quality"]

    def _repeats(self, repeated: pl.DataFrame, ticks: pl.DataFrame) -> pl.Series:
        """Return how many repeats go with each tick: those of its series since the one before."""
        counts = np.zeros(len(ticks), np.int32)
        at = {row: n for n, row in enumerate(ticks["row"].to_list())}
        rows = {key: group["row"].to_list() for key, group in ticks.group_by(SERIES)}
        came = {key: group["row"].to_list() for key, group in repeated.group_by(SERIES)}
        for key in sorted({*came, *self._owing}):
            series = self._of(*key)
            waiting = came.get(key, [])
            for row in rows.get(key, []):
                before = bisect_left(waiting, row)
                owed = series.repeats + before
                counts[at[row]] = min(owed, MOST_REPEATS)
                series.repeats = owed - int(counts[at[row]])
                del waiting[:before]
                if not waiting and not series.repeats:
                    break
            series.repeats += len(waiting)
            (self._owing.add if series.repeats else self._owing.discard)(key)
        return pl.Series(counts, dtype=pl.Int32)

    def _gaps(self, ticks: pl.DataFrame) -> list[dict[str, object]]:
        """Return what the trade ids of contiguous venues say is missing, or was repaired."""
        numbered = ticks.filter(pl.col("venue").is_in(list(self.rules.contiguous)))
        if numbered.is_empty():
            return []
        trades = numbered.with_columns(
            id=pl.col("trade_id").cast(pl.Int64, strict=False),
            at=pl.col("event_time").to_physical(),
        ).filter(pl.col("id").is_not_null())
        found: list[dict[str, object]] = []
        spans = trades.group_by(SERIES).agg(
            low=pl.min("id"), high=pl.max("id"), count=pl.len(), last=pl.last("at")
        )
        for venue, symbol, low, high, count, last_us in spans.iter_rows():
            series = self._of(venue, symbol)
            ids = series.ids
            repaired: list[Gap] = []
            if ids.high is not None and low == ids.high + 1 and high - low + 1 == count:
                ids.high, ids.high_us = high, last_us
            else:
                mine = (pl.col("venue") == venue) & (pl.col("symbol") == symbol)
                rows = trades.filter(mine).select("id", "at", "source").iter_rows()
                repaired = ids.add(rows, series.stream_us)
            judged = ids.judge(series.stream_us, self.rules.patience_us) if ids.gaps else []
            raw_offset = ticks["offset"][-1]
            found += [self._gap(gap, venue, symbol, raw_offset) for gap in judged + repaired]
        return found

    def _gap(self, gap: Gap, venue: str, symbol: str, raw_offset: int) -> dict[str, object]:
        return {
            "symbol": symbol,
            "venue": venue,
            "from_id": gap.from_id,
            "to_id": gap.to_id,
            "after_time": instant(gap.after_us),
            "before_time": instant(gap.before_us),
            "detected_at": instant(gap.detected_us or 0),
            "repaired_at": None if gap.repaired_us is None else instant(gap.repaired_us),
            "repaired_by": gap.repaired_by,
            "source_partition": self.partition,
            "raw_offset": raw_offset,
        }


def _in_raw_order(ticks: pl.DataFrame, amendments: pl.DataFrame) -> pl.DataFrame:
    """Put corrections and cancels, which nothing is judged by, back to their places."""
    if amendments.is_empty():
        return ticks
    unflagged = amendments.select("row", "offset", quality=pl.lit(0, pl.Int32))
    return pl.concat([ticks, unflagged]).sort("offset")


def _highest(spans: pl.DataFrame) -> int:
    highest = spans["high"].max()
    return highest if isinstance(highest, int) else NEVER


def _spread(cheapest: float, dearest: float, before: float | None) -> float:
    """Return the largest ratio between two prices, at least 1."""
    low = cheapest if before is None else min(cheapest, before)
    high = dearest if before is None else max(dearest, before)
    return high / low if low > 0 else float("inf")


def _count(quality: pl.Series) -> dict[str, int]:
    if not (quality != 0).any():
        return {}
    counts = {flag.name or "": int(((quality & flag.value) != 0).sum()) for flag in Quality}
    return {name: count for name, count in counts.items() if count}
