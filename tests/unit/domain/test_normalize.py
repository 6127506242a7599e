from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from app.domain.normalize import Normalized, Normalizer, Rules
from app.domain.quality import Quality
from app.domain.refuse import Refusal
from app.domain.watch import Limits
from app.errors import ConfigError
from tests.unit.domain.ticks import block, tick, us

SECOND = 1_000_000
NOW = us("10:00:30")
RULES = Rules(
    partition_of=lambda symbol: 1 if symbol.startswith("ELSEWHERE") else 0,
    canonical=lambda _venue, symbol: symbol.replace("XBT", "BTC"),
    limits=Limits(
        contiguous=frozenset({"KRAKEN"}),
        stale_after_us=60 * SECOND,
        patience_us=30 * SECOND,
        jump_limit=0.10,
    ),
    max_future_us=60 * SECOND,
    quarantine_jumps=False,
    dedupe_window=1_000,
    max_series=100,
)
Row = dict[str, object]


def run(normalizer: Normalizer, *rows: Row, first_offset: int = 0, now: int = NOW) -> Normalized:
    ticks = block(*rows, first_offset=first_offset)
    keys = [symbol.encode() for symbol in ticks["symbol"]]
    return normalizer.apply(ticks, keys, np.full(len(rows), now, np.int64))


def fresh(**rules: object) -> Normalizer:
    return Normalizer(replace(RULES, **rules), 0)  # type: ignore[arg-type]


def flags(done: Normalized) -> list[int]:
    return done.accepted["quality"].to_list()


def test_good_ticks_are_accepted_in_raw_order_with_their_offsets() -> None:
    done = run(fresh(), tick(trade_id="1"), tick(trade_id="2"), first_offset=70)

    assert done.accepted.rows() == [(0, 70, 0), (1, 71, 0)]
    assert (done.refused, done.rerouted, done.duplicates, done.gaps) == ([], [], [], [])


def test_corrections_and_cancels_keep_their_place_and_nothing_is_judged_by_them() -> None:
    """S10: neither their time nor their price, nor their trade's id, says anything of the next."""
    rows = [
        tick("10:00:00", venue="KRAKEN", trade_id="7"),
        tick("10:00:50", "500", action="CORRECT", trade_id="7"),
        tick("10:00:50", price=None, size=None, action="CANCEL", trade_id="99"),
        tick("10:00:01", venue="KRAKEN", trade_id="8"),
    ]
    normalizer = fresh()
    done = run(normalizer, *rows)

    assert done.accepted.rows() == [(n, n, 0) for n in range(4)]
    assert (done.refused, done.duplicates, done.gaps) == ([], [], [])


def test_a_tick_tells_how_many_repeats_of_its_series_were_refused_before_it() -> None:
    """They go with the next tick of the series, in whatever block it comes (S18)."""
    normalizer = fresh()
    a, b, other = tick(trade_id="1"), tick(trade_id="2"), tick(trade_id="9", symbol="ETH/USD")
    done = run(normalizer, a, a, other, a, b, b, b)

    assert [quality >> 16 for quality in flags(done)] == [0, 0, 2]
    rows = [(key, value) for key, value in normalizer.save() if value is not None]
    normalizer = fresh()
    normalizer.restore(rows)
    done = run(normalizer, tick(trade_id="3", bid="9", ask="8"), tick(trade_id="4"), first_offset=7)
    assert flags(done) == [(2 << 16) + 2, 0]
    assert done.flags == {"CROSSED": 1}


def test_more_repeats_than_a_tick_can_tell_go_with_the_one_after() -> None:
    normalizer = fresh()
    run(normalizer, *(tick(trade_id="1") for _ in range(40_001)))
    done = run(normalizer, tick(trade_id="2"), tick(trade_id="3"), tick(trade_id="4"))

    assert [quality >> 16 for quality in flags(done)] == [32_767, 40_000 - 32_767, 0]


def test_state_of_another_version_is_refused() -> None:
    with pytest.raises(ConfigError, match="must be of version 2, was of 1"):
        fresh().restore([("", "[1, 0, 0]"), ("S@V", "[0, null, null, 0, 0, []]")])


def test_a_trade_may_be_corrected_twice_but_the_same_correction_is_a_repeat() -> None:
    rows = [
        tick(trade_id="7"), tick(price="9", action="CORRECT", trade_id="7"),
        tick(price="8", action="CORRECT", trade_id="7"),
        tick(price="9", action="CORRECT", trade_id="7"),
        tick(price="9", action="CORRECT", trade_id="6"),
    ]  # fmt: skip

    assert run(fresh(), *rows).duplicates == [3]


@pytest.mark.parametrize(
    ("bad", "reason", "says"),
    [
        (tick(price="0"), "bad_price", "price must be above 0 and at most 1e15, was 0"),
        (tick(price="-1.5"), "bad_price", "was -1.5"),
        (tick(price="2000000000000000"), "bad_price", "at most 1e15"),
        (tick(size="-1"), "bad_size", "size must be at least 0"),
        (tick(price=None), "incomplete_trade", "must have price and size, had None and 1"),
        (tick(price=None, size=None), "no_parts", "trade part or a quote part"),
        (tick(bid="-1"), "bad_quote", "bid must be at least 0"),
        (tick(ask_size="-1"), "bad_quote", "ask_size must be at least 0"),
        (tick(venue="kraken"), "bad_venue", "venue must match"),
        (tick(symbol="BTC USD"), "bad_symbol", "was 'BTC USD'"),
        (tick(symbol="BTC/USD\n"), "bad_symbol", r"was 'BTC/USD\n'"),
        (tick(action="CANCEL"), "no_trade_id", "CANCEL must name the trade_id"),
        (
            tick(price=None, size=None, action="CORRECT", trade_id="9"),
            "incomplete_trade",
            "trade 9",
        ),
        (tick("10:02:00"), "future_event_time", "must not be ahead"),
    ],
)
def test_a_bad_tick_is_refused_with_its_reason_and_its_neighbours_are_not(
    bad: Row, reason: str, says: str
) -> None:
    done = run(fresh(), tick(trade_id="1"), bad, tick(trade_id="2"))

    [refused] = done.refused
    assert (refused.row, refused.reason) == (1, reason)
    assert says in refused.detail
    assert done.accepted["row"].to_list() == [0, 2]


def test_the_key_must_be_the_symbol() -> None:
    done = fresh().apply(block(tick(), tick(sequence=1), tick(sequence=2)),
                         [b"BTC/USD", None, b"\xff"], np.full(3, NOW, np.int64))  # fmt: skip

    assert [(r.row, r.reason) for r in done.refused] == [(1, "bad_key"), (2, "bad_key")]
    assert done.accepted["row"].to_list() == [0]


def test_a_tick_in_the_wrong_partition_or_under_an_alias_is_rerouted() -> None:
    done = run(fresh(), tick(symbol="ELSEWHERE"), tick(symbol="XBT/USD"), tick())

    assert done.rerouted == [(0, "ELSEWHERE"), (1, "BTC/USD")]
    assert done.accepted["row"].to_list() == [2]


def test_a_trade_seen_before_is_a_duplicate_in_any_block() -> None:
    normalizer = fresh()
    first = run(normalizer, tick(trade_id="1"), tick(trade_id="1"), tick(trade_id="2"))
    second = run(normalizer, tick(trade_id="2"), tick(trade_id="3"), first_offset=3)

    assert (first.duplicates, second.duplicates) == ([1], [0])
    assert first.accepted["row"].to_list() == [0, 2]
    assert second.accepted["row"].to_list() == [1]


def test_equal_trades_without_id_differ_by_sequence() -> None:
    """A content hash without it would drop genuine equal trades at one instant."""
    done = run(fresh(), tick(sequence=1), tick(sequence=2), tick(sequence=1, source="other"))

    assert done.accepted["row"].to_list() == [0, 1]
    assert done.duplicates == [2]


def test_the_same_id_at_another_venue_or_symbol_is_another_trade() -> None:
    done = run(fresh(), tick(trade_id="1"), tick(trade_id="1", venue="X"),
               tick(trade_id="1", symbol="ETH/USD"))  # fmt: skip

    assert done.duplicates == []


def test_contiguous_ids_prove_repeats_beyond_any_window() -> None:
    normalizer = fresh(dedupe_window=2)
    rows = [tick(trade_id=str(n)) for n in range(600)]
    run(normalizer, *rows)
    again = run(normalizer, *rows, first_offset=600)

    assert len(again.duplicates) == 600


def test_what_is_remembered_from_the_log_is_known() -> None:
    normalizer = fresh()
    normalizer.remember(block(tick(trade_id="x", venue="OTHER")))

    assert run(normalizer, tick(trade_id="x", venue="OTHER")).duplicates == [0]


def test_out_of_order_is_flagged_against_its_own_series_only() -> None:
    done = run(fresh(), tick("10:00:10"), tick("10:00:05"), tick("10:00:01", symbol="ETH/USD"))

    assert flags(done) == [0, Quality.OUT_OF_ORDER, 0]
    assert done.flags == {"OUT_OF_ORDER": 1}


def test_out_of_order_across_blocks_is_flagged() -> None:
    normalizer = fresh()
    run(normalizer, tick("10:00:10"))

    assert flags(run(normalizer, tick("10:00:09"), first_offset=1)) == [Quality.OUT_OF_ORDER]


def test_a_crossed_quote_is_flagged_not_dropped() -> None:
    done = run(fresh(), tick(price=None, size=None, bid="101", ask="100"))

    assert flags(done) == [Quality.CROSSED]


@pytest.mark.parametrize(("price", "flag"), [("110", 0), ("110.1", 4), ("90", 0), ("89.9", 4)])
def test_a_price_jump_beyond_the_limit_is_flagged(price: str, flag: int) -> None:
    normalizer = fresh()
    run(normalizer, tick(price="100"))

    assert flags(run(normalizer, tick("10:00:01", price=price), first_offset=1)) == [flag]


def test_a_price_jump_is_quarantined_when_so_configured() -> None:
    done = run(fresh(quarantine_jumps=True), tick(), tick("10:00:01", "150"), tick("10:00:02"))

    assert [(r.row, r.reason) for r in done.refused] == [(1, "price_jump"), (2, "price_jump")]


def test_age_is_judged_by_append_time_when_live() -> None:
    normalizer = fresh()
    run(normalizer, tick("10:00:29"))

    assert flags(run(normalizer, tick("09:59:29"), first_offset=1)) == [
        Quality.STALE | Quality.OUT_OF_ORDER
    ]


def test_a_backfill_is_not_stale() -> None:
    """Append time is years later: age goes by stream time."""
    done = run(fresh(), tick("10:00:00"), tick("10:00:10"), now=NOW + 10**15)

    assert flags(done) == [0, 0]


def test_a_gap_is_reported_when_patience_is_over_and_repaired_when_filled() -> None:
    normalizer = fresh()
    run(normalizer, tick("10:00:00", trade_id="1"), tick("10:00:01", trade_id="4"))
    found = run(normalizer, tick("10:00:31", trade_id="5"), first_offset=2, now=NOW + SECOND)
    repaired = run(
        normalizer, tick(trade_id="3", source="refill"), tick(trade_id="2", source="refill"),
        first_offset=3, now=NOW + SECOND,
    )  # fmt: skip

    assert [(g["from_id"], g["to_id"], g["repaired_at"]) for g in found.gaps] == [(2, 3, None)]
    [gap] = repaired.gaps
    assert (gap["from_id"], gap["repaired_by"]) == (2, "refill")
    assert gap["repaired_at"] is not None


def test_state_survives_a_restart() -> None:
    """Flags, gaps and proven repeats go on as if nothing had happened."""
    rows = [tick("10:00:10", trade_id="1"), tick("10:00:11", trade_id="4", price="105")]
    more = [tick("10:00:09", "300", trade_id="5"), tick("10:00:12", trade_id="4")]
    one = fresh()
    run(one, *rows)
    one.offset = 1
    two = fresh()
    two.restore([(k, v) for k, v in one.save() if v is not None])

    a = run(one, *more, first_offset=2)
    b = run(two, *more, first_offset=2)
    assert two.offset == 1
    assert (flags(a), a.duplicates) == (flags(b), b.duplicates)
    assert flags(b) == [Quality.OUT_OF_ORDER | Quality.PRICE_JUMP]


def test_every_row_has_exactly_one_fate() -> None:
    rows = [tick(trade_id=str(n % 7), price=str(n % 5), symbol=["BTC/USD", "XBT/USD"][n % 3 == 0])
            for n in range(60)]  # fmt: skip
    done = run(fresh(), *rows)
    fates = [
        *done.accepted["row"].to_list(), *(r.row for r in done.refused),
        *(row for row, _ in done.rerouted), *done.duplicates,
    ]  # fmt: skip

    assert sorted(fates) == list(range(60))


def test_the_future_is_judged_by_each_records_own_append_time() -> None:
    """A block that took long to fill allows its first records no more than its last."""
    rows = [tick("10:02:00", trade_id="1"), tick("10:02:00", trade_id="2")]
    appended_us = np.array([NOW, NOW + 120_000_000])
    done = fresh().apply(block(*rows), [b"BTC/USD"] * 2, appended_us)

    assert [(r.row, r.reason) for r in done.refused] == [(0, "future_event_time")]


def test_a_block_without_a_tick_is_nothing() -> None:
    done = fresh().apply(block().clear(), [b"undecodable"], np.array([NOW]))

    assert done.accepted.is_empty()
    assert isinstance(done.accepted, pl.DataFrame)


def test_ticks_of_one_series_more_than_the_limit_are_refused_and_their_neighbours_are_not() -> None:
    """The first to come stay, through a restart as well; corrections and cancels count, too."""
    core = fresh(max_series=2)
    first = run(core, tick(symbol="A"), tick(symbol="B", action="CANCEL", trade_id="7"),
                tick(symbol="C"), tick(symbol="A", price="101"))  # fmt: skip
    again = fresh(max_series=2)
    again.restore([(key, value) for key, value in core.save() if value is not None])
    second = run(again, tick(symbol="C"), tick(symbol="B"), first_offset=4)

    assert first.accepted["row"].to_list() == [0, 1, 3]
    assert first.refused == [
        Refusal(2, "too_many_series", "the series of a partition must be at most MAX_SERIES, 2; "
                "C@KRAKEN is one more")
    ]  # fmt: skip
    assert second.accepted["row"].to_list() == [1]
    assert [row for row, *_ in second.refused] == [0]


def test_a_flood_of_symbols_of_another_partition_is_sent_on() -> None:
    names = [f"ELSEWHERE{n}" for n in range(5_000)]
    done = run(fresh(), tick(symbol="A"), *(tick(symbol=name) for name in names))

    assert done.accepted["row"].to_list() == [0]
    assert done.rerouted == list(enumerate(names, 1))
