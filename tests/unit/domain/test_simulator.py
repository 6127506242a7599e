"""The simulated market: the same for a seed, contiguous unless asked, faulty as asked."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from app.domain.refuse import refusals
from app.domain.simulator import BLOCK, POISONS, Market, feed, symbol_names

MARKET = Market(seed=7, symbols=5, start_us=1_700_000_000_000_000, step_us=100)


def whole(market: Market, ticks: int) -> pl.DataFrame:
    return pl.concat(feed(market, ticks))


def trade_ids(ticks: pl.DataFrame, symbol: str) -> list[int]:
    trades = ticks.filter(pl.col("symbol") == symbol, pl.col("trade_id").is_not_null())
    return trades["trade_id"].cast(pl.Int64).to_list()


def test_a_seed_is_one_market_and_another_seed_another() -> None:
    assert whole(MARKET, 50_000).equals(whole(MARKET, 50_000))
    assert not whole(MARKET, 100).equals(whole(replace(MARKET, seed=8), 100))


def test_a_longer_feed_begins_with_the_shorter_one() -> None:
    assert whole(MARKET, BLOCK + 500).head(BLOCK).equals(whole(MARKET, BLOCK))


def test_the_first_ticks_of_a_seed_are_known() -> None:
    """Another polars must not change what a seed means."""
    first = whole(MARKET, 4).select("symbol", "trade_id", pl.col("price", "size", "bid", "ask"))

    assert [
        [v if v is None or isinstance(v, str) else f"{v.normalize():f}" for v in row]
        for row in first.rows()
    ] == [
        ["ETH/USD", None, None, None, "16099.95", "16100.01"],
        ["BTC/USD", None, None, None, "21799.97", "21800.05"],
        ["XRP/USD", "1", "4699.98", "0.481", None, None],
        ["BTC/USD", None, None, None, "21799.99", "21800.01"],
    ]


def test_trades_are_numbered_without_holes_over_blocks() -> None:
    ticks = whole(MARKET, 3 * BLOCK)

    for symbol in symbol_names(5):
        ids = trade_ids(ticks, symbol)
        assert ids == list(range(1, len(ids) + 1))
        assert len(ids) > BLOCK // 3


def test_a_feed_goes_on_where_an_earlier_one_ended() -> None:
    later = whole(replace(MARKET, known={"BTC/USD": (501, 1_234_500)}), 1000)

    assert trade_ids(later, "BTC/USD")[0] == 501
    assert trade_ids(later, "ETH/USD")[0] == 1
    prices = later.filter(pl.col("symbol") == "BTC/USD")["price"].drop_nulls()
    assert abs(float(prices[0]) - 12_345) < 10


def test_every_good_tick_keeps_the_contract() -> None:
    ticks = whole(replace(MARKET, jitter_us=50_000, duplicates=0.1, gaps=0.1), 20_000)
    keys = [symbol.encode() for symbol in ticks["symbol"]]

    latest_us = np.full(len(ticks), 2**62)
    kept, refused = refusals(ticks.drop("poison").with_row_index("row"), keys, latest_us)

    assert refused == []
    assert len(kept) == len(ticks)
    assert ticks["price"].null_count() > 0
    assert ticks["bid"].null_count() > 0


def test_jitter_changes_the_order_of_arrival_and_nothing_else() -> None:
    calm, shaken = whole(MARKET, 10_000), whole(replace(MARKET, jitter_us=50_000), 10_000)

    assert calm["event_time"].is_sorted()
    assert not shaken["event_time"].is_sorted()
    assert shaken["ingest_time"].is_sorted()
    assert shaken.sort("sequence").drop("ingest_time").equals(calm.drop("ingest_time"))


def test_a_duplicate_is_the_same_tick_later() -> None:
    ticks = whole(replace(MARKET, duplicates=0.05), 10_000)

    doubled = ticks.filter(pl.col("sequence").is_duplicated())
    assert len(ticks) - 10_000 == pytest.approx(500, rel=0.2)
    assert doubled.drop("ingest_time").unique().height == doubled.height // 2


def test_a_gap_uses_an_id_up_that_never_comes() -> None:
    ticks = whole(replace(MARKET, gaps=0.05), 10_000)

    missing = sum(ids[-1] - len(ids) for ids in (trade_ids(ticks, s) for s in symbol_names(5)))
    assert missing == pytest.approx(10_000 * 0.75 * 0.05, rel=0.3)


def test_poison_comes_beside_the_good_ticks_in_every_kind() -> None:
    ticks = whole(replace(MARKET, poison=0.05), 10_000)

    assert ticks.filter(pl.col("poison") == 0).equals(
        whole(MARKET, 10_000).with_columns(poison=pl.lit(0, pl.UInt8))
    )
    assert sorted(ticks["poison"].unique()) == list(range(len(POISONS) + 1))
