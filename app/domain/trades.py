"""The ticks of a block as the bars' loops want them: numbers in arrays, texts by their place."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import polars as pl

from app.domain.bars import SCALE
from app.domain.quality import REPEATS_SHIFT
from schemas.columns import Columns, Sizes
from schemas.compiled import compiled
from schemas.packed import Bytes, Positions, pack

Name = tuple[str, str]
"""Venue and canonical symbol of a series."""

Conditions = tuple[str, ...]
Codes = npt.NDArray[np.int32]
Marks = npt.NDArray[np.bool_]

ACTIONS = ("NEW", "CORRECT", "CANCEL")

ABSENT = -1
"""Stands for a null sequence and a null raw offset; a null text has this size."""


@dataclass(frozen=True, eq=False)
class Numbers:
    """A decimal column: n values, unscaled (1e-12).

    Attributes:
        values: Where they fit 64 bits; 0 elsewhere.
        is_wide: Which do not fit.
        is_null: Which are null.
        wide: Those values, by row.
    """

    values: Positions
    is_wide: Marks
    is_null: Marks
    wide: dict[int, int]

    def take(self, rows: Positions) -> "Numbers":
        """Return the numbers of some rows."""
        wide = {n: self.wide[int(rows[n])] for n in np.flatnonzero(self.is_wide[rows]).tolist()}
        return Numbers(self.values[rows], self.is_wide[rows], self.is_null[rows], wide)

    def put(self, values: Mapping[int, int]) -> "Numbers":
        """Return the same with other values in some rows."""
        new = Numbers(self.values.copy(), self.is_wide.copy(), self.is_null.copy(), dict(self.wide))
        for row, value in values.items():
            new.is_null[row], new.is_wide[row] = False, not _fits(value)
            new.values[row] = value if _fits(value) else 0
            new.wide[row] = value
        return new

    def __getitem__(self, row: int) -> int:
        return self.wide[row] if self.is_wide[row] else int(self.values[row])


@dataclass(frozen=True, eq=False)
class Trades:
    """n ticks in offset order; those without a price are no trades, and are passed over.

    Attributes:
        buffer: Holds the texts.
        names: The (venue, symbol) of each series that occurs.
        series: Index into `names`.
        at_us: Event time, µs.
        sequence: Or `ABSENT`.
        id_starts: Where the trade's id begins in `buffer`.
        id_sizes: Its bytes, or `ABSENT`.
        price: Unscaled.
        size: Unscaled; null counts as 0.
        raw_offset: Offset in ticks.raw.v1, or `ABSENT`.
        offset: Offset in ticks.v1, increasing.
        ingest_us: When it was first seen, µs.
        appended_us: When Kafka appended it to ticks.v1, µs.
        actions: Index into `ACTIONS`.
        repeats: Repeats of its series that were refused before it.
        conditions: The sale conditions of those rows that have any.
    """

    buffer: Bytes
    names: Sequence[tuple[str, str]]
    series: Codes
    at_us: Positions
    sequence: Positions
    id_starts: Positions
    id_sizes: Sizes
    price: Numbers
    size: Numbers
    raw_offset: Positions
    offset: Positions
    ingest_us: Positions
    appended_us: Positions
    actions: Positions
    repeats: Positions
    conditions: Mapping[int, Conditions]

    def __len__(self) -> int:
        return len(self.offset)

    @property
    def last_raw_offset(self) -> int:
        """Highest raw offset, or `ABSENT`."""
        return int(self.raw_offset.max(initial=ABSENT))

    def take(self, rows: slice | Positions) -> "Trades":
        """Return some of the ticks, in order; texts are shared."""
        kept = np.arange(len(self))[rows]
        at = {row: n for n, row in enumerate(kept.tolist())} if self.conditions else {}
        return replace(
            self,
            series=self.series[kept],
            at_us=self.at_us[kept],
            sequence=self.sequence[kept],
            id_starts=self.id_starts[kept],
            id_sizes=self.id_sizes[kept],
            price=self.price.take(kept),
            size=self.size.take(kept),
            raw_offset=self.raw_offset[kept],
            offset=self.offset[kept],
            ingest_us=self.ingest_us[kept],
            appended_us=self.appended_us[kept],
            actions=self.actions[kept],
            repeats=self.repeats[kept],
            conditions={at[row]: held for row, held in self.conditions.items() if row in at},
        )

    def trade_id(self, row: int) -> str | None:
        """Return a trade's id."""
        return _text(self.buffer, self.id_starts[row], self.id_sizes[row])


def of_columns(columns: Columns, offsets: Positions, appended_us: Positions) -> Trades:
    """Return the ticks of a block of plain records of tick.avsc."""
    buffer = columns.packed.buffer
    venue, symbol = ((columns.number(name), columns.size(name)) for name in ("venue", "symbol"))
    codes = np.empty(len(columns), np.int32)
    firsts = _coded(buffer, *venue, *symbol, codes)
    names = [
        (str(_text(buffer, venue[0][row], venue[1][row])),
         str(_text(buffer, symbol[0][row], symbol[1][row])))
        for row in firsts.tolist()
    ]  # fmt: skip
    return Trades(
        buffer,
        names,
        codes,
        columns.number("event_time"),
        _or_absent(columns, "sequence"),
        columns.number("trade_id"),
        columns.size("trade_id"),
        _decimals(columns, "price"),
        _decimals(columns, "size"),
        _or_absent(columns, "raw_offset"),
        offsets,
        columns.number("ingest_time"),
        appended_us,
        columns.number("action"),
        columns.number("quality") >> REPEATS_SHIFT,
        _conditions(columns),
    )


def of_frame(ticks: pl.DataFrame, appended_us: Positions) -> Trades:
    """Return the same from a frame: tick.avsc's columns, and `offset`."""
    keys = ticks.select("venue", "symbol")
    names = keys.unique(maintain_order=True)
    codes = keys.join(
        names.with_row_index("code"), on=["venue", "symbol"], how="left", maintain_order="left"
    )["code"]
    ids = pack(None if text is None else text.encode() for text in ticks["trade_id"].to_list())
    return Trades(
        ids.buffer,
        names.rows(),
        codes.to_numpy().astype(np.int32),
        ticks["event_time"].to_physical().to_numpy().astype(np.int64),
        ticks["sequence"].fill_null(ABSENT).to_numpy().astype(np.int64),
        ids.starts,
        (ids.ends - ids.starts).astype(np.int32),
        _numbers(ticks["price"]),
        _numbers(ticks["size"]),
        ticks["raw_offset"].fill_null(ABSENT).to_numpy().astype(np.int64),
        ticks["offset"].to_numpy().astype(np.int64),
        ticks["ingest_time"].to_physical().to_numpy().astype(np.int64),
        appended_us,
        ticks["action"].cast(pl.Enum(ACTIONS)).to_physical().to_numpy().astype(np.int64),
        ticks["quality"].to_numpy().astype(np.int64) >> REPEATS_SHIFT,
        {row: tuple(each) for row, each in enumerate(ticks["conditions"].to_list()) if each},
    )


def alike(trades: Trades, name: Name = ("", "")) -> Trades:
    """Return the ticks as those of one series."""
    return replace(trades, names=[name], series=np.zeros(len(trades), np.int32))


def _fits(value: int) -> bool:
    return -(1 << 63) <= value < 1 << 63


def _text(buffer: Bytes, start: int, size: int) -> str | None:
    return None if size < 0 else buffer[start : start + size].tobytes().decode()


def _conditions(columns: Columns) -> dict[int, Conditions]:
    """Read the arrays that are not empty: a count, then so many texts, each with its length."""
    starts, sizes = columns.number("conditions"), columns.size("conditions")
    known: dict[bytes, Conditions] = {}
    found = {}
    for row in np.flatnonzero(sizes > 1).tolist():
        held = columns.packed.buffer[starts[row] : starts[row] + sizes[row]].tobytes()
        if held not in known:
            known[held] = _texts(held)
        found[row] = known[held]
    return found


def _texts(array: bytes) -> Conditions:
    """Return the texts of a plain Avro array: one part, so its count is one byte."""
    texts, at = [], 1
    for _ in range(array[0] >> 1):
        size = shift = 0
        while True:
            size |= (array[at] & 0x7F) << shift
            shift += 7
            at += 1
            if not array[at - 1] & 0x80:
                break
        size >>= 1
        texts.append(array[at : at + size].decode())
        at += size
    return tuple(texts)


def _or_absent(columns: Columns, name: str) -> Positions:
    numbers, sizes = columns.number(name), columns.size(name)
    if (sizes >= 0).all():
        return numbers
    return np.where(sizes < 0, ABSENT, numbers)


def _decimals(columns: Columns, name: str) -> Numbers:
    starts, sizes = columns.number(name), columns.size(name)
    values = np.empty(len(starts), np.int64)
    is_wide = np.empty(len(starts), np.bool_)
    _read(columns.packed.buffer, starts, sizes, values, is_wide)
    wide = {
        row: int.from_bytes(
            columns.packed.buffer[starts[row] : starts[row] + sizes[row]].tobytes(), signed=True
        )
        for row in np.flatnonzero(is_wide).tolist()
    }
    return Numbers(values, is_wide, sizes < 0, wide)


def _numbers(column: pl.Series) -> Numbers:
    whole = column.cast(pl.Decimal(38, SCALE)).to_physical()
    narrow = whole.cast(pl.Int64, strict=False)
    is_null = column.is_null().to_numpy()
    is_wide = narrow.is_null().to_numpy() & ~is_null
    wide = {row: whole[row] for row in np.flatnonzero(is_wide).tolist()}
    return Numbers(narrow.fill_null(0).to_numpy().astype(np.int64), is_wide, is_null, wide)


@compiled
def _read(
    buffer: Bytes, starts: Positions, sizes: Sizes, values: Positions, is_wide: Marks
) -> None:
    """Read big-endian two's complement; a null is 0."""
    for row in range(len(starts)):
        size, at = sizes[row], starts[row]
        # More than 8 bytes may be spare ones: a writer need not be thrifty.
        while size > 8 and (  # noqa: PLR2004 - bytes of 64 bits
            (buffer[at] == 0 and buffer[at + 1] < 128)  # noqa: PLR2004 - the sign bit
            or (buffer[at] == 255 and buffer[at + 1] >= 128)  # noqa: PLR2004
        ):
            at += 1
            size -= 1
        is_wide[row] = size > 8  # noqa: PLR2004
        value = 0
        if 0 < size <= 8:  # noqa: PLR2004
            value = -1 if buffer[at] >= 128 else 0  # noqa: PLR2004
            for n in range(size):
                value = (value << 8) | buffer[at + n]
        values[row] = value


@compiled
def _coded(  # noqa: PLR0913 - two texts
    buffer: Bytes,
    venue_starts: Positions,
    venue_sizes: Sizes,
    symbol_starts: Positions,
    symbol_sizes: Sizes,
    codes: Codes,
) -> Codes:
    """Number the distinct pairs of texts; return the first row of each."""
    n = len(codes)
    slots = 16
    while slots < 2 * n:
        slots *= 2
    table = np.full(slots, -1, np.int32)
    firsts = np.empty(n, np.int32)
    count = 0
    for row in range(n):
        mixed = _mixed(np.uint32(2166136261), buffer, venue_starts[row], venue_sizes[row])
        mixed = _mixed(np.uint32(mixed + 1), buffer, symbol_starts[row], symbol_sizes[row])
        slot = np.int64(mixed) & (slots - 1)
        while table[slot] >= 0:
            first = firsts[table[slot]]
            if _same(buffer, venue_starts, venue_sizes, first, row) and _same(
                buffer, symbol_starts, symbol_sizes, first, row
            ):
                break
            slot = (slot + 1) & (slots - 1)
        if table[slot] < 0:
            table[slot] = count
            firsts[count] = row
            count += 1
        codes[row] = table[slot]
    return firsts[:count].copy()


@compiled
def _mixed(mixed: np.uint32, buffer: Bytes, start: int, size: int) -> np.uint32:
    """FNV-1a."""
    for at in range(start, start + size):
        mixed = np.uint32((mixed ^ buffer[at]) * np.uint32(16777619))
    return mixed


@compiled
def _same(buffer: Bytes, starts: Positions, sizes: Sizes, a: int, b: int) -> bool:
    if sizes[a] != sizes[b]:
        return False
    for n in range(sizes[a]):  # noqa: SIM110 - compiled
        if buffer[starts[a] + n] != buffer[starts[b] + n]:
            return False
    return True
