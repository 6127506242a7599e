"""What is watched of each series: its time, price and trade ids; by them ticks are flagged.

Nothing here refuses a tick. Everything is judged against the series' own past, so that a replay
finds the same again.
"""

import json
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, field
from typing import Any

import numpy as np
import polars as pl

from app.domain.bars import instant
from app.domain.gaps import Gap, IdLedger
from app.domain.quality import MOST_REPEATS, Quality
from app.domain.shelf import NEVER

SERIES = ("venue", "symbol")


@dataclass(frozen=True, slots=True)
class Limits:
    """What ticks are judged by.

    Attributes:
        contiguous: Venues that number the trades of a symbol without holes.
        stale_after_us: Age beyond which a tick is flagged stale.
        patience_us: How long a missing id may still arrive before it is a gap.
        jump_limit: Relative price change that is flagged, such as 0.10.
    """

    contiguous: frozenset[str]
    stale_after_us: int
    patience_us: int
    jump_limit: float


@dataclass(slots=True)
class Series:
    """What is remembered of one (venue, symbol)."""

    stream_us: int = NEVER
    last_price: float | None = None
    repeats: int = 0
    """Refused since its last tick."""
    ids: IdLedger = field(default_factory=IdLedger)


class Watch:
    """The series of one partition.

    Args:
        limits: What ticks are judged by.
        partition: The partition of ticks.raw.v1.

    Attributes:
        stream_us: Latest event time of all series, µs.
    """

    def __init__(self, limits: Limits, partition: int) -> None:
        self.stream_us = NEVER
        self._limits = limits
        self._partition = partition
        self._series: dict[tuple[str, str], Series] = {}
        self._unsaved: set[tuple[str, str]] = set()
        self._owing: set[tuple[str, str]] = set()
        """Series with repeats since their last tick."""

    def __len__(self) -> int:
        return len(self._series)

    def __contains__(self, name: object) -> bool:
        return name in self._series

    @property
    def owes(self) -> bool:
        """Whether some series has repeats that no tick has counted yet."""
        return bool(self._owing)

    def of(self, venue: str, symbol: str) -> Series:
        """Return what is remembered of a series, to be changed."""
        self._unsaved.add((venue, symbol))
        return self._series.setdefault((venue, symbol), Series())

    def proven(self, ticks: pl.DataFrame) -> pl.Series:
        """Return which ticks the ids of contiguous venues prove to be repeats, however old."""
        pairs = [
            (venue, symbol, high)
            for venue, symbol in ticks.select(SERIES).unique().iter_rows()
            if venue in self._limits.contiguous
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

    def quality(self, ticks: pl.DataFrame, append_us: int) -> pl.Series:
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
        live = append_us - max(self.stream_us, _highest(spans)) <= self._limits.stale_after_us
        suspects, known = [], []
        limit = 1 + self._limits.jump_limit
        for venue, symbol, low, high, cheapest, dearest, last, ordered in spans.iter_rows():
            series = self.of(venue, symbol)
            before = series.last_price
            floor = low if before is None else min(low, series.stream_us)
            if (
                not ordered
                or low < series.stream_us
                or (append_us if live else high) - floor > self._limits.stale_after_us
                or (dearest is not None and _spread(cheapest, dearest, before) > limit)
            ):
                suspects.append((venue, symbol))
                known.append((venue, symbol, series.stream_us, before))
            series.stream_us = max(series.stream_us, high)
            self.stream_us = max(self.stream_us, high)
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
        jump = (price / previous - 1).abs() > self._limits.jump_limit
        for flag, when in (
            (Quality.OUT_OF_ORDER, at < stream),
            (Quality.PRICE_JUMP, jump),
            (Quality.STALE, reference - at > self._limits.stale_after_us),
        ):
            bits = bits + when.fill_null(value=False).cast(pl.Int32) * flag.value
        joined = ticks.join(states, on=SERIES, how="left", maintain_order="left")
        return joined.select(quality=bits)["quality"]

    def repeats(self, repeated: pl.DataFrame, ticks: pl.DataFrame) -> pl.Series:
        """Return how many repeats go with each tick: those of its series since the one before."""
        counts = np.zeros(len(ticks), np.int32)
        at = {row: n for n, row in enumerate(ticks["row"].to_list())}
        rows = {key: group["row"].to_list() for key, group in ticks.group_by(SERIES)}
        came = {key: group["row"].to_list() for key, group in repeated.group_by(SERIES)}
        for key in sorted({*came, *self._owing}):
            series = self.of(*key)
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

    def gaps(self, ticks: pl.DataFrame) -> list[dict[str, object]]:
        """Return what the trade ids of contiguous venues say is missing, or was repaired."""
        numbered = ticks.filter(pl.col("venue").is_in(list(self._limits.contiguous)))
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
            series = self.of(venue, symbol)
            ids = series.ids
            repaired: list[Gap] = []
            if ids.high is not None and low == ids.high + 1 and high - low + 1 == count:
                ids.high, ids.high_us = high, last_us
            else:
                mine = (pl.col("venue") == venue) & (pl.col("symbol") == symbol)
                rows = trades.filter(mine).select("id", "at", "source").iter_rows()
                repaired = ids.add(rows, series.stream_us)
            judged = ids.judge(series.stream_us, self._limits.patience_us) if ids.gaps else []
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
            "source_partition": self._partition,
            "raw_offset": raw_offset,
        }

    def save(self) -> Iterator[tuple[str, str | None]]:
        """Yield (key, JSON value) of each series changed since the last call."""
        for venue, symbol in sorted(self._unsaved):
            series = self._series[venue, symbol]
            ids = series.ids
            gaps = [astuple(gap) for gap in ids.gaps]
            ledger = ids.high, ids.high_us, ids.low, gaps
            state = [series.stream_us, series.last_price, series.repeats, *ledger]
            yield f"{symbol}@{venue}", json.dumps(state)
        self._unsaved.clear()

    def restore(self, key: str, fields: Sequence[Any]) -> None:
        """Put back a row of `save`, its value decoded."""
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


def _highest(spans: pl.DataFrame) -> int:
    highest = spans["high"].max()
    return highest if isinstance(highest, int) else NEVER


def _spread(cheapest: float, dearest: float, before: float | None) -> float:
    """Return the largest ratio between two prices, at least 1."""
    low = cheapest if before is None else min(cheapest, before)
    high = dearest if before is None else max(dearest, before)
    return high / low if low > 0 else float("inf")
