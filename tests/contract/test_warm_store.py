"""What every warm store promises."""

from datetime import timedelta
from decimal import Decimal

import polars as pl
import pytest

from app.domain.ports import OFFSET, Position, WarmStore
from tests.contract.records import at, bar, empty, ticks, without

BARS, TICKS = "bars.v1", "ticks.v1"
SERIES = ("BTC-USD", "KRAKEN", "M1")
PAIR = SERIES[:2]
EVER = (None, None, 1000)


def test_a_bar_comes_back_with_every_field_to_the_last_digit(warm: WarmStore) -> None:
    row = bar(
        vwap=None, notional=Decimal("123456789012345678901234567890.000000000000000000000001")
    )

    applied = warm.apply_bars(BARS, 0, 0, 0, [row])

    assert (applied.written, applied.position) == (1, Position(BARS, 0, 1))
    assert warm.bars(*SERIES, *EVER) == [without(row, OFFSET)]


def test_a_bar_without_trades_has_no_prices_until_a_late_trade_comes(warm: WarmStore) -> None:
    warm.apply_bars(BARS, 0, 0, 0, [empty()])

    assert warm.bars(*SERIES, *EVER) == [without(empty(), OFFSET)]
    warm.apply_bars(BARS, 0, 1, 1, [bar(revision=2, offset=1)])
    assert [b["open"] for b in warm.bars(*SERIES, *EVER)] == [100]


def test_a_newer_revision_replaces_the_bar_and_an_older_one_does_not(warm: WarmStore) -> None:
    warm.apply_bars(BARS, 0, 0, 0, [bar(revision=1, last_offset=20)])

    older = [bar(revision=0, last_offset=99, offset=1), bar(revision=1, last_offset=19, offset=2)]
    assert warm.apply_bars(BARS, 0, 1, 2, older).written == 0
    assert warm.bars(*SERIES, *EVER)[0]["last_offset"] == 20

    newer = [bar(revision=2, last_offset=20, trades=8, offset=3)]
    assert warm.apply_bars(BARS, 0, 3, 3, newer).written == 1
    assert warm.bars(*SERIES, *EVER)[0]["trades"] == 8


def test_within_a_revision_the_higher_offset_is_newer(warm: WarmStore) -> None:
    warm.apply_bars(BARS, 0, 0, 0, [bar(last_offset=2**53)])

    newer = bar(last_offset=2**53 + 1, trades=8, offset=1)
    assert warm.apply_bars(BARS, 0, 1, 1, [newer]).written == 1
    assert warm.bars(*SERIES, *EVER)[0]["trades"] == 8


def test_of_one_block_the_newest_emission_counts_in_any_order(warm: WarmStore) -> None:
    revisions = [1, 3, 0, 2]
    rows = [bar(revision=r, trades=r, offset=n) for n, r in enumerate(revisions)]

    applied = warm.apply_bars(BARS, 0, 0, 3, rows)

    assert (applied.written, applied.skipped) == (1, 3)
    assert [b["trades"] for b in warm.bars(*SERIES, *EVER)] == [3]


def test_the_history_holds_every_emission_from_the_first_final_one_on(warm: WarmStore) -> None:
    rows = [bar(revision=r, reason="late", offset=r) for r in range(4)]
    rows += [bar(revision=3, last_offset=30, offset=4), bar(revision=3, last_offset=8, offset=5)]
    warm.apply_bars(BARS, 0, 0, 2, rows[:3])
    warm.apply_bars(BARS, 0, 3, 5, rows[3:])

    found = warm.revisions(*SERIES, at("10:00"))

    ranks = [(b["revision"], b["last_offset"]) for b in found]
    assert ranks == [(1, 9), (2, 9), (3, 8), (3, 9), (3, 30)]
    assert found[0] == without(rows[1], OFFSET)


def test_the_same_block_of_bars_again_changes_nothing(warm: WarmStore) -> None:
    rows = [bar(revision=1, offset=4), bar(open_time=at("10:01"), offset=5)]
    warm.apply_bars(BARS, 0, 4, 5, rows)
    before = warm.bars(*SERIES, *EVER), warm.revisions(*SERIES, at("10:00"))

    applied = warm.apply_bars(BARS, 0, 4, 5, rows)

    assert (applied.written, applied.skipped, applied.position.offset) == (0, 2, 6)
    assert (warm.bars(*SERIES, *EVER), warm.revisions(*SERIES, at("10:00"))) == before


def test_bars_at_or_below_the_stored_offset_are_skipped_whatever_their_rank(
    warm: WarmStore,
) -> None:
    warm.apply_bars(BARS, 0, 0, 5, [bar(offset=5)])

    applied = warm.apply_bars(BARS, 0, 4, 6, [bar(revision=9, offset=5)])

    assert (applied.written, applied.position.offset) == (0, 7)
    assert warm.bars(*SERIES, *EVER)[0]["revision"] == 0


def test_a_range_of_bars_holds_its_start_and_not_its_end(warm: WarmStore) -> None:
    #  10:00  10:01  10:02  10:03
    #         [start        end)
    opens = [at(f"10:0{minute}") for minute in (3, 1, 0, 2)]
    warm.apply_bars(BARS, 0, 0, 3, [bar(open_time=t, offset=n) for n, t in enumerate(opens)])

    found = warm.bars(*SERIES, at("10:01"), at("10:03"), 10)
    newest = warm.bars(*SERIES, None, None, 2)

    assert [b["open_time"] for b in found] == [at("10:01"), at("10:02")]
    assert [b["open_time"] for b in newest] == [at("10:02"), at("10:03")]


def test_a_tick_comes_back_with_every_field(warm: WarmStore) -> None:
    nasty = "a \"quoted\" \\ 'line'\nand,\t\x01 ü 漢 {},NULL"
    frame = ticks(
        {"trade_id": nasty, "conditions": ["@", "", "NULL", nasty], "sequence": 2**62},
        {"trade_id": "", "price": None, "bid": Decimal("-0.000000000001"), "raw_offset": 7},
        {"trade_id": "NULL", "sector": "\\N", "size": Decimal("9" * 26 + ".999999999999")},
    )

    assert warm.apply_ticks(TICKS, 0, 0, 2, frame).written == 3
    assert warm.ticks(*PAIR, *EVER) == frame.rows(named=True)


def test_the_same_block_of_ticks_again_changes_nothing(warm: WarmStore) -> None:
    frame = ticks({}, {}, {})
    warm.apply_ticks(TICKS, 0, 0, 2, frame)

    applied = warm.apply_ticks(TICKS, 0, 0, 2, frame)

    assert (applied.written, applied.skipped, applied.position.offset) == (0, 3, 3)
    assert len(warm.ticks(*PAIR, *EVER)) == 3


def test_of_an_overlapping_block_only_what_is_new_is_stored(warm: WarmStore) -> None:
    #  first:   0 1 2
    #  second:    1 2 3 4
    frame = ticks({}, {}, {}, {}, {})
    warm.apply_ticks(TICKS, 0, 0, 2, frame[:3])

    assert warm.apply_ticks(TICKS, 0, 1, 4, frame[1:]).written == 2
    assert [t["offset"] for t in warm.ticks(*PAIR, *EVER)] == [0, 1, 2, 3, 4]


def test_the_stored_offset_never_goes_back(warm: WarmStore) -> None:
    warm.apply_ticks(TICKS, 1, 0, 9, ticks())

    assert warm.apply_ticks(TICKS, 1, 3, 5, ticks()).position.offset == 10
    assert warm.positions([TICKS]) == {(TICKS, 1): 10}


def test_a_block_without_rows_moves_the_offset_on(warm: WarmStore) -> None:
    """Its records may all have been dead-lettered."""
    assert warm.apply_bars(BARS, 3, 0, 41, []).position == Position(BARS, 3, 42)


def test_positions_are_kept_for_each_topic_and_partition(warm: WarmStore) -> None:
    warm.apply_ticks(TICKS, 0, 0, 4, ticks())
    warm.apply_ticks(TICKS, 1, 0, 5, ticks())
    warm.apply_bars(BARS, 0, 0, 6, [])

    assert warm.positions([TICKS, "other"]) == {(TICKS, 0): 5, (TICKS, 1): 6}
    assert warm.positions([TICKS, BARS])[BARS, 0] == 7
    assert warm.positions([]) == {}


def test_offsets_that_run_backwards_are_a_broken_caller(warm: WarmStore) -> None:
    with pytest.raises(ValueError, match="first <= last"):
        warm.apply_ticks(TICKS, 0, 5, 4, ticks())
    with pytest.raises(ValueError, match="first <= last"):
        warm.apply_bars(BARS, 0, 5, 4, [])


def test_a_tick_that_was_normalized_again_at_another_offset_is_stored_once(
    warm: WarmStore,
) -> None:
    #  raw:     5 6      a crash: 6 is normalized again
    #  ticks:   0 1 | 2 3
    #  raw:           6 7
    warm.apply_ticks(TICKS, 0, 0, 1, ticks({"raw_offset": 5}, {"raw_offset": 6}))
    again = ticks({"raw_offset": 6, "offset": 2}, {"raw_offset": 7, "offset": 3})

    applied = warm.apply_ticks(TICKS, 0, 2, 3, again)

    assert (applied.written, applied.skipped) == (1, 1)
    assert [t["raw_offset"] for t in warm.ticks(*PAIR, *EVER)] == [5, 6, 7]


def test_a_tick_twice_in_one_block_is_stored_once(warm: WarmStore) -> None:
    frame = ticks({"raw_offset": 5}, {"raw_offset": 6}, {"raw_offset": 5}, {}, {})

    assert warm.apply_ticks(TICKS, 0, 0, 4, frame).written == 4


def test_a_tick_is_not_dropped_for_its_raw_offset_alone(warm: WarmStore) -> None:
    """A topic that was made anew counts from 0 again; those ticks are new all the same."""
    warm.apply_ticks(TICKS, 0, 0, 0, ticks({"raw_offset": 1000}))
    fresh = ticks({"raw_offset": 3, "event_time": at("11:00"), "offset": 1})

    assert warm.apply_ticks(TICKS, 0, 1, 1, fresh).written == 1


def test_old_ticks_of_a_backfill_are_stored_beside_new_ones(warm: WarmStore) -> None:
    days = ["2025-11-20", "2013-10-08", "2019-01-01", "2013-10-08"]
    frame = ticks(*({"event_time": at("23:59:59.999999", day)} for day in days))

    assert warm.apply_ticks(TICKS, 0, 0, 3, frame).written == 4
    assert len(warm.ticks(*PAIR, at("00:00", "2013-10-08"), at("00:00", "2013-10-09"), 10)) == 2


def test_a_range_of_ticks_holds_its_start_and_not_its_end(warm: WarmStore) -> None:
    first = at("10:00")
    frame = ticks(*({"event_time": first + timedelta(seconds=n)} for n in range(5)))
    warm.apply_ticks(TICKS, 0, 0, 4, frame)

    found = warm.ticks(*PAIR, at("10:00:01"), at("10:00:03"), 10)

    assert [t["offset"] for t in found] == [1, 2]
    assert [t["offset"] for t in warm.ticks(*PAIR, None, None, 2)] == [3, 4]


def test_ticks_of_one_instant_come_in_the_order_of_their_offsets(warm: WarmStore) -> None:
    frame = ticks({"offset": 10}, {"offset": 9}).sort("offset")
    warm.apply_ticks(TICKS, 0, 9, 10, frame)

    assert [t["offset"] for t in warm.ticks(*PAIR, *EVER)] == [9, 10]
    assert [t["offset"] for t in warm.ticks(*PAIR, None, None, 1)] == [10]


def test_series_do_not_mix(warm: WarmStore) -> None:
    frame = ticks({}, {"venue": "OTHER"}, {"symbol": "ETH-USD"})
    warm.apply_ticks(TICKS, 0, 0, 2, frame)
    warm.apply_bars(BARS, 0, 0, 1, [bar(), bar(timeframe="M5", offset=1)])

    assert len(warm.ticks(*PAIR, *EVER)) == 1
    assert len(warm.bars(*SERIES, *EVER)) == 1
    assert warm.bars("BTC-USD", "KRAKEN", "H1", *EVER) == []


def test_sums_are_exact(warm: WarmStore) -> None:
    """A double would make 0.30000000000000004 of them."""
    frame = ticks({"size": Decimal("0.1")}, {"size": Decimal("0.2")})
    warm.apply_ticks(TICKS, 0, 0, 1, frame)

    total = sum((t["size"] for t in warm.ticks(*PAIR, *EVER)), Decimal(0))

    assert (total, frame["size"].dtype) == (Decimal("0.3"), pl.Decimal(38, 12))
