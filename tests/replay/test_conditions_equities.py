"""How many minutes of a vendor our rules explain: every US trade of 2013-10-08, four symbols.

`pytest -s` prints the figures. The minutes are recomputed here from the ticks, by no code of ours
but the tables'. What the consolidated tapes' rules leave unexplained is the vendor's own rule: it
keeps intermarket sweeps and trade-through exempt prints out of its prices, which the tapes do not.
With its rules instead of the tapes', what remains is its auctions (its first and last minute take
the listing market's opening and closing print, printed later or not at all in our minutes) and the
few exempt prints it counts because they are regular ones, too.
"""

import zipfile
from datetime import date
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pytest

from app.domain.conditions import ConditionTable, Uses, ohlcv, table, table_on

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "equities"
SYMBOLS = ("SPY", "AIG", "IBM", "BAC")
MINUTE_MS = 60_000
OPENS_MS, CLOSES_MS = 34_200_000, 57_600_000
"""09:30 and 16:00 in New York, which the files count from midnight."""
HALF_A_CENT = 50
"""In the files' unit, 1/10,000 dollar."""

VENDOR = table("lean_us")


class Explained(NamedTuple):
    """Of the vendor's minutes, how many the recomputed ones agree with.

    Attributes:
        open: Within half a cent; so are high, low and close.
        prices: In all four.
        near: Volume within 1 %.
        volume: Volume to the share.
    """

    open: int
    high: int
    low: int
    close: int
    prices: int
    near: int
    volume: int


RULES: dict[str, ConditionTable | None] = {
    "before": None,
    "tapes": table_on("us_equities", date(2013, 10, 8)),
    "vendor": VENDOR,
}
"""Every print for everything; the consolidated tapes' rules of that day; the vendor's own."""

AT_LEAST = {
    ("SPY", "before"): Explained(346, 336, 345, 343, 230, 389, 389),
    ("SPY", "tapes"): Explained(346, 372, 361, 345, 273, 389, 389),
    ("SPY", "vendor"): Explained(389, 386, 389, 390, 384, 389, 389),
    ("AIG", "before"): Explained(336, 352, 338, 326, 238, 388, 388),
    ("AIG", "tapes"): Explained(338, 356, 342, 328, 247, 388, 388),
    ("AIG", "vendor"): Explained(389, 390, 390, 389, 388, 388, 388),
    ("IBM", "before"): Explained(309, 334, 314, 331, 196, 387, 387),
    ("IBM", "tapes"): Explained(310, 345, 320, 331, 206, 388, 388),
    ("IBM", "vendor"): Explained(390, 389, 389, 389, 387, 388, 388),
    ("BAC", "before"): Explained(364, 380, 377, 370, 327, 389, 388),
    ("BAC", "tapes"): Explained(364, 389, 385, 370, 340, 389, 388),
    ("BAC", "vendor"): Explained(389, 390, 390, 390, 389, 389, 388),
}
"""Of 390 minutes each. The vendor's own volumes say that its minutes come from these very ticks."""


@cache
def ticks(symbol: str) -> pl.DataFrame:
    """Return the regular session's trades in the order recorded."""
    return in_session(
        rows(symbol, "tick", ["ms", "price", "size", "exchange", "flags", "suspicious"])
    )


@cache
def minutes(symbol: str) -> pl.DataFrame:
    """Return the vendor's minutes of the regular session."""
    return in_session(rows(symbol, "minute", ["ms", "open", "high", "low", "close", "volume"]))


def rows(symbol: str, kind: str, names: list[str]) -> pl.DataFrame:
    path = FOLDER / f"{symbol.lower()}-{kind}-20131008_trade.zip"
    assert path.exists(), f"recorded market data must be in {FOLDER}"
    with zipfile.ZipFile(path) as archive:
        content = BytesIO(archive.read(archive.namelist()[0]))
    texts = {"exchange": pl.String, "flags": pl.String}
    return pl.read_csv(content, has_header=False, new_columns=names, schema_overrides=texts)


def in_session(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.filter((pl.col("ms") >= OPENS_MS) & (pl.col("ms") < CLOSES_MS))


def judged(trades: pl.DataFrame, rules: ConditionTable | None) -> pl.DataFrame:
    """Add what each trade counts for."""
    uses = {
        flags: Uses.ALL if rules is None else rules.uses(VENDOR.codes(int(flags, 16)))
        for flags in trades["flags"].unique()
    }
    return trades.with_columns(
        uses=pl.col("flags").replace_strict(
            {flags: int(u) for flags, u in uses.items()}, return_dtype=pl.Int64
        )
    )


def recomputed(trades: pl.DataFrame) -> pl.DataFrame:
    price, uses = pl.col("price"), pl.col("uses")
    ends = price.filter((uses & Uses.OPEN_CLOSE) > 0)
    extremes = price.filter((uses & Uses.HIGH_LOW) > 0)
    return trades.group_by(ms=pl.col("ms") // MINUTE_MS * MINUTE_MS).agg(
        our_open=ends.first(),
        our_high=extremes.max(),
        our_low=extremes.min(),
        our_close=ends.last(),
        our_volume=pl.col("size").filter((uses & Uses.VOLUME) > 0).sum(),
    )


def explained(symbol: str, rules: str, *, suspicious: bool) -> Explained:
    trades = judged(ticks(symbol), RULES[rules])
    if not suspicious:
        trades = trades.filter(pl.col("suspicious") == 0)
    both = minutes(symbol).join(recomputed(trades), on="ms", how="left")
    names = ("open", "high", "low", "close")
    is_near = {
        name: ((pl.col(name) - pl.col(f"our_{name}")).abs() <= HALF_A_CENT).fill_null(value=False)
        for name in names
    }
    off = (pl.col("volume") - pl.col("our_volume")).abs()
    counts = both.select(
        **{name: is_near[name].sum() for name in names},
        prices=pl.all_horizontal(*is_near.values()).sum(),
        near=(off <= pl.col("volume") * 0.01).sum(),
        volume=(off == 0).sum(),
    )
    return Explained(*counts.row(0))


def show(found: dict[tuple[str, str], Explained]) -> None:
    """Print a table of minutes explained, and how many there are."""
    print(f"\n{'':12}{'minutes':>8}", *(f"{name:>7}" for name in Explained._fields))  # noqa: T201
    for (symbol, rules), counts in found.items():
        print(f"{symbol:4}{rules:8}{len(minutes(symbol)):8}", *(f"{n:7}" for n in counts))  # noqa: T201


def test_minutes_of_the_vendor_are_explained() -> None:
    """The tapes' rules explain more than none, and the vendor's own explain what they leave."""
    found = {key: explained(*key, suspicious=True) for key in AT_LEAST}
    show(found)

    for key, counts in found.items():
        assert len(minutes(key[0])) == 390
        for name, count, least in zip(Explained._fields, counts, AT_LEAST[key], strict=True):
            assert count >= least, f"{key}: {name}"
    for symbol in SYMBOLS:
        before, tapes, vendor = (found[symbol, rules] for rules in RULES)
        assert before.prices < tapes.prices < vendor.prices


def test_no_trade_of_the_session_is_flagged_suspicious() -> None:
    """So with them and without them the figures are the same."""
    for symbol in SYMBOLS:
        assert ticks(symbol)["suspicious"].sum() == 0
    for key in AT_LEAST:
        assert explained(*key, suspicious=False) == explained(*key, suspicious=True)


def test_no_odd_lot_is_on_the_tape_yet() -> None:
    """They came on 2013-12-09, so version 1 of the tapes' rules needs no rule for them."""
    for symbol in SYMBOLS:
        codes = {
            c for flags in ticks(symbol)["flags"].unique() for c in VENDOR.codes(int(flags, 16))
        }
        assert "I" not in codes
        assert RULES["tapes"] is not None
        assert RULES["tapes"].unknown(sorted(codes)) == ()


@pytest.mark.parametrize("rules", RULES)
def test_bars_recomputed_here_are_those_of_the_domain(rules: str) -> None:
    """`ohlcv` says the rule once more, in Python; a bar core can be held against either."""
    trades = judged(ticks("IBM"), RULES[rules])
    minute = (pl.col("ms") // MINUTE_MS * MINUTE_MS).alias("minute")
    by_minute = trades.select(minute, "price", "size", "uses").partition_by(
        "minute", as_dict=True, include_key=False
    )

    ours = {
        ms: ohlcv((price, size, Uses(uses)) for price, size, uses in group.iter_rows())
        for (ms,), group in by_minute.items()
    }

    assert {ms: tuple(bar) for ms, *bar in recomputed(trades).iter_rows()} == ours
