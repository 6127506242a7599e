"""What every hot store promises."""

import json
from datetime import timedelta
from decimal import Decimal

import pytest

from app.domain.ports import OFFSET, HotStore
from schemas.json_form import from_jsonable, jsonable, microseconds
from tests.contract.conftest import KEEP_BARS
from tests.contract.records import at, bar, empty, quote, ticks, without

SERIES = ("BTC-USD", "KRAKEN", "M1")
PAIR = SERIES[:2]


def test_a_bar_comes_back_with_every_field_to_the_last_digit(hot: HotStore) -> None:
    assert hot.put_bars([bar(vwap=None, volume=Decimal(0))]) == 1

    assert hot.latest_bar(*SERIES) == without(bar(vwap=None, volume=Decimal(0)), OFFSET)


def test_a_bar_without_trades_has_no_prices_until_a_late_trade_comes(hot: HotStore) -> None:
    hot.put_bars([empty()])

    assert hot.latest_bar(*SERIES) == without(empty(), OFFSET)
    assert hot.put_bars([bar(revision=2, last_offset=3)]) == 1
    assert [b["open"] for b in hot.bars(*SERIES, limit=10)] == [100]


def test_a_newer_revision_replaces_the_bar(hot: HotStore) -> None:
    hot.put_bars([bar(revision=1)])

    assert hot.put_bars([bar(revision=2, close=Decimal(7), high=Decimal(200))]) == 1
    assert [b["close"] for b in hot.bars(*SERIES, limit=10)] == [7]


def test_an_older_revision_from_a_worker_given_up_changes_nothing(hot: HotStore) -> None:
    hot.put_bars([bar(revision=2, last_offset=20)])

    assert hot.put_bars([bar(revision=1, last_offset=99, close=Decimal(7))]) == 0
    assert hot.put_bars([bar(revision=2, last_offset=19, close=Decimal(7))]) == 0
    assert hot.latest_bar(*SERIES) == without(bar(revision=2, last_offset=20), OFFSET)


def test_the_same_revision_of_a_bar_again_changes_nothing(hot: HotStore) -> None:
    hot.put_bars([bar()])

    assert hot.put_bars([bar()]) == 0


def test_within_a_revision_the_higher_offset_is_newer(hot: HotStore) -> None:
    """2**53 and 2**53 + 1 are one double: a guard that compares numbers takes them for equal."""
    hot.put_bars([bar(last_offset=2**53)])

    assert hot.put_bars([bar(last_offset=2**53 + 1, trades=4)]) == 1
    assert hot.put_bars([bar(last_offset=9, trades=3)]) == 0
    assert hot.put_bars([bar(last_offset=-1, revision=0, trades=3)]) == 0


def test_of_one_block_the_newest_emission_counts_in_any_order(hot: HotStore) -> None:
    rows = [bar(revision=1), bar(revision=2, trades=9), bar(revision=0)]

    assert hot.put_bars(rows) == 1
    found = hot.latest_bar(*SERIES)
    assert found is not None
    assert found["trades"] == 9


def test_series_do_not_mix(hot: HotStore) -> None:
    hot.put_bars([bar(), bar(timeframe="M5"), bar(venue="OTHER"), bar(symbol="ETH-USD")])

    assert len(hot.bars(*SERIES, limit=10)) == 1
    assert hot.latest_bar("BTC-USD", "KRAKEN", "H1") is None


def test_a_range_holds_its_start_and_not_its_end(hot: HotStore) -> None:
    #  10:00  10:01  10:02  10:03
    #         [start        end)
    hot.put_bars([bar(open_time=at(f"10:0{minute}")) for minute in (3, 1, 0, 2)])

    found = hot.bars(*SERIES, limit=10, start=at("10:01"), end=at("10:03"))

    assert [b["open_time"] for b in found] == [at("10:01"), at("10:02")]


def test_a_limit_keeps_the_newest_and_gives_them_oldest_first(hot: HotStore) -> None:
    hot.put_bars([bar(open_time=at(f"10:0{minute}")) for minute in range(5)])

    found = hot.bars(*SERIES, limit=2)

    assert [b["open_time"] for b in found] == [at("10:03"), at("10:04")]


def test_a_series_keeps_a_bounded_number_of_bars(hot: HotStore) -> None:
    first = at("00:00")
    hot.put_bars([bar(open_time=first + timedelta(minutes=n)) for n in range(KEEP_BARS + 5)])

    found = hot.bars(*SERIES, limit=1000)

    assert [found[0]["open_time"], len(found)] == [first + timedelta(minutes=5), KEEP_BARS]


def test_a_full_series_lets_nothing_in_that_is_older_than_its_oldest(hot: HotStore) -> None:
    first = at("01:00")
    hot.put_bars([bar(open_time=first + timedelta(minutes=n)) for n in range(KEEP_BARS)])

    assert hot.put_bars([bar(open_time=at("00:00"))]) == 0
    assert hot.put_bars([bar(open_time=first, revision=1)]) == 1


def test_a_quote_comes_back_with_every_field(hot: HotStore) -> None:
    odd = quote(sequence=2**62, source="12", bid=Decimal("0.000000000001"), crossed=True)

    assert hot.latest_quote(*PAIR) is None
    assert hot.put_quotes([odd]) == 1
    assert hot.latest_quote(*PAIR) == odd


def test_a_side_that_is_gone_does_not_linger_from_the_quote_before(hot: HotStore) -> None:
    hot.put_quotes([quote()])
    hot.put_quotes([quote(event_time=at("10:01"), bid=None, bid_size=None)])

    found = hot.latest_quote(*PAIR)

    assert found is not None
    assert (found["bid"], found["ask"]) == (None, 100)


@pytest.mark.parametrize(
    "older",
    [
        {"event_time": at("09:59"), "sequence": 9, "tick_offset": 99},
        {"sequence": 4, "tick_offset": 99},
        {"sequence": None, "tick_offset": 99},
        {"tick_offset": 6},
        {},
    ],
    ids=["event_time", "sequence", "no sequence", "offset", "the same"],
)
def test_an_older_quote_changes_nothing(hot: HotStore, older: dict[str, object]) -> None:
    held = quote(sequence=5)
    hot.put_quotes([held])

    assert hot.put_quotes([{**held, **older}]) == 0
    assert hot.latest_quote(*PAIR) == held


@pytest.mark.parametrize(
    "newer",
    [
        {"event_time": at("10:01"), "sequence": 1, "tick_offset": 1},
        {"sequence": 6, "tick_offset": 1},
        {"tick_offset": 8},
    ],
    ids=["event_time", "sequence", "offset"],
)
def test_a_newer_quote_replaces_the_old_one(hot: HotStore, newer: dict[str, object]) -> None:
    hot.put_quotes([quote(sequence=5)])

    assert hot.put_quotes([quote(**{"sequence": 5, **newer})]) == 1


def test_of_one_block_the_newest_quote_counts(hot: HotStore) -> None:
    block = [quote(tick_offset=8), quote(tick_offset=9, ask=Decimal(3)), quote(tick_offset=7)]

    assert hot.put_quotes(block) == 1
    found = hot.latest_quote(*PAIR)
    assert found is not None
    assert found["ask"] == 3


def test_a_tick_comes_back_with_every_field(hot: HotStore) -> None:
    nasty = 'a "quoted" \\ line\nand\t\x01 ü 漢 {},:null'
    frame = ticks(
        {"trade_id": nasty, "conditions": ["@", "", nasty], "sequence": 2**62, "raw_offset": 4},
        {"bid": Decimal("-0.000000000001"), "ask": Decimal(100), "price": None, "sector": ""},
    )
    assert hot.put_ticks(frame) == 2

    found = hot.ticks(*PAIR, limit=10)

    assert found == frame.sort("offset", descending=True).drop("offset").rows(named=True)


def test_a_tick_written_again_is_there_once(hot: HotStore) -> None:
    frame = ticks({"raw_offset": 5}, {"raw_offset": 6})
    hot.put_ticks(frame)

    assert hot.put_ticks(frame) == 0
    assert len(hot.ticks(*PAIR, limit=10)) == 2


def test_a_tick_that_was_normalized_again_at_another_offset_is_there_once(hot: HotStore) -> None:
    hot.put_ticks(ticks({"raw_offset": 5, "offset": 10}))

    assert hot.put_ticks(ticks({"raw_offset": 5, "offset": 11})) == 0


def test_two_equal_trades_are_two(hot: HotStore) -> None:
    """Without ids only their offsets tell them apart."""
    assert hot.put_ticks(ticks({}, {})) == 2
    assert len(hot.ticks(*PAIR, limit=10)) == 2


def test_the_newest_ticks_by_event_time_are_kept_whatever_their_order(hot: HotStore) -> None:
    times = ["10:00:03", "10:00:01", "10:00:04", "10:00:02"]
    hot.put_ticks(ticks(*({"event_time": at(clock)} for clock in times)), keep=3)
    hot.put_ticks(ticks({"event_time": at("09:00"), "offset": 50}), keep=3)

    found = hot.ticks(*PAIR, limit=10)

    assert [t["event_time"] for t in found] == [at(f"10:00:0{second}") for second in (2, 3, 4)]


def test_ticks_of_one_instant_are_ordered_by_offset(hot: HotStore) -> None:
    """9 comes before 10 although "10" comes before "9"."""
    hot.put_ticks(ticks({"offset": 10, "price": Decimal(2)}, {"offset": 9, "price": Decimal(1)}))

    assert [t["price"] for t in hot.ticks(*PAIR, limit=10)] == [1, 2]
    assert [t["price"] for t in hot.ticks(*PAIR, limit=1)] == [2]


def test_a_block_larger_than_a_round_trip_is_written_whole(hot: HotStore) -> None:
    frame = ticks(*({"symbol": f"S{n % 30}", "offset": n} for n in range(30_000)))

    assert hot.put_ticks(frame) == 30_000
    assert len(hot.ticks("S7", "KRAKEN", limit=5000)) == 1000


def test_nothing_to_put_is_no_error(hot: HotStore) -> None:
    assert (hot.put_bars([]), hot.put_quotes([]), hot.put_ticks(ticks())) == (0, 0, 0)
    assert hot.ticks(*PAIR, limit=10) == []
    assert hot.bars(*SERIES, limit=10) == []


def test_a_part_is_whole_once_marked(hot: HotStore) -> None:
    assert not hot.is_whole("bars.v1:0")
    hot.mark_whole("bars.v1:0", hot.era())
    assert (hot.is_whole("bars.v1:0"), hot.is_whole("bars.v1:1")) == (True, False)


def test_a_part_marked_in_an_earlier_era_is_not_whole(hot: HotStore) -> None:
    """What was looked for while the server was replaced may be on neither."""
    hot.mark_whole("bars.v1:0", "an earlier one")

    assert not hot.is_whole("bars.v1:0")


def test_texts_are_the_json_of_what_is_held_and_say_whether_it_is_whole(hot: HotStore) -> None:
    bars = [bar(open_time=at(f"10:0{n}")) for n in range(3)]
    hot.put_bars(bars)
    hot.put_quotes([quote()])
    hot.put_ticks(ticks(*({"offset": n, "raw_offset": n} for n in range(3))))
    texts = hot.bar_texts("p", *SERIES, 2, at("10:00"), at("10:02"))
    hot.mark_whole("p", hot.era())

    whole = hot.bar_texts("p", *SERIES, 2)

    assert not texts.is_whole
    assert [json.loads(each.text) for each in texts.value] == [jsonable("bar", b) for b in bars[:2]]
    assert [each.open_us for each in whole.value] == [
        microseconds(at("10:01")), microseconds(at("10:02")),
    ]  # fmt: skip
    assert whole.is_whole
    held = hot.tick_texts("p", *PAIR, 2)
    assert held.is_whole
    assert [from_jsonable("tick", json.loads(text)) for text in held.value] == hot.ticks(*PAIR, 2)
    assert hot.held_quote("p", *PAIR) == (hot.latest_quote(*PAIR), True)
    assert hot.held_quote("q", "NO/NE", "KRAKEN") == (None, False)


@pytest.mark.parametrize(("start", "end"), [(None, None), ("10:01", None), (None, "10:03")])
def test_values_and_texts_of_bars_are_the_same(
    hot: HotStore, start: str | None, end: str | None
) -> None:
    hot.put_bars([bar(open_time=at(f"10:0{n}"), vwap=None, trades=n) for n in range(5)])
    bounds = (start and at(start), end and at(end))

    rows, held = hot.bars(*SERIES, 2, *bounds), hot.bar_texts("p", *SERIES, 2, *bounds)

    assert len(rows) == 2
    assert [from_jsonable("bar", json.loads(each.text)) for each in held.value] == rows
    assert [each.open_us for each in held.value] == [microseconds(b["open_time"]) for b in rows]


def test_rows_beyond_a_round_trip_are_all_written(hot: HotStore) -> None:
    quotes = [quote(symbol=f"S{n}") for n in range(1_500)]
    bars = [bar(symbol=f"S{n}") for n in range(5_500)]

    assert (hot.put_quotes(quotes), hot.put_bars(bars)) == (1_500, 5_500)
    assert all(hot.latest_quote(f"S{n}", "KRAKEN") for n in (0, 700, 1_499))
    assert all(hot.latest_bar(f"S{n}", "KRAKEN", "M1") for n in (0, 4_999, 5_499))


def test_every_series_is_listed_once(hot: HotStore) -> None:
    hot.put_bars([bar(), bar(timeframe="H1"), bar(symbol="BRK.B")])
    hot.put_quotes([quote(), quote(venue="COINBASE")])
    hot.put_ticks(ticks({"symbol": "ETH/USD"}))

    assert hot.series() == {
        PAIR, ("BRK.B", PAIR[1]), (PAIR[0], "COINBASE"), ("ETH/USD", PAIR[1]),
    }  # fmt: skip
