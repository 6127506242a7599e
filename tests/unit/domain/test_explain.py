"""Each tick of a bar is used or refused, with its reason, and the used ones make the bar."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import polars as pl

from app.domain.bars import decimal
from app.domain.evidence import Late, Target, Tick, accepted, touches, unaccepted
from app.domain.explain import Judge, Line, Reason, duplicate, late_elsewhere
from app.domain.partials import EVERYTHING, HIGH_LOW, VOLUME, fold
from app.domain.series import NEVER
from tests.unit.domain.ticks import at, block, tick, trades, us

MINUTE_US = 60_000_000
BAR = Target("BTC/USD", "KRAKEN", us("10:00:00"), us("10:01:00"))


def ticks(*rows: dict[str, object], after: int = -1) -> list[Tick]:
    return accepted(block(*rows), BAR, after)[0]


def judged(
    *rows: dict[str, object], late: dict[int, Late] | None = None, **uses: int
) -> tuple[list[Line], Judge]:
    """Judge ticks at offsets from 0 on; `uses` are those of their conditions."""
    every = ticks(*rows)
    amendments: dict[str, list[Tick]] = {}
    for each in every:
        if each.action != "NEW":
            amendments.setdefault(each.trade_id or "", []).append(each)

    def uses_of(conditions: Sequence[str], _: int) -> int:
        return uses[conditions[0]] if conditions else EVERYTHING

    judge = Judge(late or {}, amendments, uses_of)
    lines = [judge.trade(each) for each in every if each.action == "NEW"]
    return lines + list(judge.amendments()), judge


def told(lines: Sequence[Line]) -> list[tuple[int | None, str, str]]:
    """Return offset, verdict and codes of each line."""
    return [(x.tick.offset, x.verdict, ",".join(r.code for r in x.reasons)) for x in lines]


def bar(**values: object) -> dict[str, Any]:
    """Return the bar of one trade of 1 at 100, or with other values."""
    hundred = Decimal(100)
    return {
        "open": hundred, "high": hundred, "low": hundred, "close": hundred,
        "volume": Decimal(1), "notional": hundred, "trades": 1, **values,
    }  # fmt: skip


def test_the_trades_of_a_bar_are_those_of_its_series_and_time() -> None:
    """[open_time, close_time), as S1 has it."""
    found = ticks(
        tick("09:59:59.999999"), tick("10:00:00"), tick("10:00:59.999999"), tick("10:01:00"),
        tick("10:00:01", symbol="ETH/USD"), tick("10:00:01", venue="COINBASE"),
        tick("10:00:01", price=None, size=None, bid=1),
    )  # fmt: skip

    assert [each.offset for each in found] == [1, 2]


def test_amendments_of_the_series_are_found_whatever_their_time() -> None:
    found = ticks(
        tick("10:07:00", action="CANCEL", trade_id="1", price=None, size=None),
        tick("10:07:00", action="CORRECT", trade_id="1", symbol="ETH/USD"),
        tick("10:07:00", trade_id="1"),
    )

    assert [(each.offset, each.action) for each in found] == [(0, "CANCEL")]


def test_a_tick_is_as_it_was_published() -> None:
    row = tick("10:00:01.5", "1.25", "3", sequence=7, trade_id="9", conditions=["W"], raw_offset=4)

    assert ticks(row) == [
        Tick(
            0, 4, us("10:00:01.5"), 7, "9", Decimal("1.25"), Decimal(3), "NEW", ["W"],
            None, (None,) * 4,
        )
    ]  # fmt: skip


def test_a_second_publication_is_behind_the_first() -> None:
    """Raw offsets rise over the whole partition, whosever ticks they are."""
    rows = [
        tick(raw_offset=5), tick(raw_offset=9, symbol="ETH/USD"), tick(raw_offset=7),
        tick(raw_offset=None), tick(raw_offset=9), tick(raw_offset=10),
    ]  # fmt: skip

    assert [each.behind for each in ticks(*rows)] == [None, 9, None, 9, None]
    assert [each.behind for each in ticks(*rows, after=5)] == [5, 9, None, 9, None]
    assert accepted(block(*rows), BAR, 3)[1] == 10
    assert accepted(block(*rows), BAR, 30)[1] == 30
    assert accepted(block(tick()), BAR, 30)[1] == 30


def test_a_repeat_is_refused_and_not_counted() -> None:
    lines, judge = judged(tick(raw_offset=5), tick(raw_offset=5))

    assert told(lines) == [(0, "used", ""), (1, "refused", "repeat")]
    assert lines[1].reasons[0].detail == "raw offset must be above 5, published before it, was 5"
    assert judge.recount.differences(bar()) == {}


def test_records_that_became_no_ticks_are_those_of_the_bar_that_are_not_known() -> None:
    raw = block(
        tick(), tick("10:00:01"), tick("10:01:00"), tick("10:00:02", symbol="ETH/USD"),
        tick("10:00:03", price=None, size=None), first_offset=40,
    )  # fmt: skip

    found = unaccepted(raw, BAR, pl.Series([40, 99], dtype=pl.Int64))

    assert [(each.offset, each.raw_offset) for each in found] == [(None, 41), (None, 44)]
    assert [each.raw_offset for each in unaccepted(raw, BAR, pl.Series([], dtype=pl.Int64))] == [
        40, 41, 44,
    ]  # fmt: skip


def test_a_trade_is_the_same_by_its_id_and_without_one_by_its_content() -> None:
    numbered, other, plain, equal, later = ticks(
        tick(trade_id="1"), tick("10:00:05", "7", trade_id="1"),
        tick(), tick(raw_offset=3, conditions=["W"]), tick(sequence=1),
    )  # fmt: skip

    assert numbered.identity == other.identity != plain.identity
    assert plain.identity == equal.identity != later.identity
    assert len({plain.identity, equal.identity}) == 1
    assert duplicate(plain, 12).reasons == (
        Reason("duplicate", "of the tick at offset 12: same content"),
    )
    assert duplicate(other, 0).reasons[0].detail == "of the tick at offset 0: same trade id"
    assert told([duplicate(other, None)]) == [(1, "refused", "duplicate")]


def test_an_amendment_has_no_identity_of_a_trade() -> None:
    """A trade may be corrected twice, and its own id is not the correction's."""
    first, second = ticks(
        tick(trade_id="1", action="CORRECT"), tick(trade_id="1", action="CORRECT", price="7")
    )

    assert first.identity != second.identity
    assert "1" not in {first.identity, second.identity}


def test_the_used_ticks_make_the_bar_whatever_their_order() -> None:
    lines, judge = judged(
        tick("10:00:30", "99", "0.5", sequence=2), tick("10:00:10", "101", "2"),
        tick("10:00:30", "98.5", "1", sequence=1), tick("10:00:10", "100", "1", sequence=0),
        tick("10:00:20", "107.000000000001", "0.000000000001"),
    )  # fmt: skip

    assert {each.verdict for each in lines} == {"used"}
    assert judge.recount.values == {
        "open": Decimal(101), "high": Decimal("107.000000000001"), "low": Decimal("98.5"),
        "close": Decimal(99), "volume": Decimal("4.500000000001"),
        "notional": Decimal("450.000000000107000000000001"), "trades": 5,
    }  # fmt: skip


def test_sums_and_products_have_all_their_digits() -> None:
    large, finest = "123456789012345.000000000001", "987654321098765.000000000001"
    _, judge = judged(tick(price=large, size=finest), tick(price="1", size="0.000000000001"))

    assert judge.recount.values["volume"] == Decimal("987654321098765.000000000002")
    assert judge.recount.values["notional"] == Decimal(
        "121932631137021071359549255036.111110111111000000000001"
    )


def test_equal_times_are_ordered_by_sequence_then_id_then_price() -> None:
    _, judge = judged(
        tick(price="3", sequence=1, trade_id="b"), tick(price="2", sequence=1, trade_id="a"),
        tick(price="1", sequence=1, trade_id="b"), tick(price="4", sequence=0, trade_id="z"),
    )  # fmt: skip

    assert (judge.recount.values["open"], judge.recount.values["close"]) == (4, 3)


def test_the_recount_is_the_bar_that_the_core_makes() -> None:
    rows = [
        tick(f"10:00:{n * 7 % 60}", str(100 + n * n % 11), f"0.{n + 1}", sequence=n % 3)
        for n in range(40)
    ]
    [(_, made)] = fold(trades(*rows), [NEVER], [MINUTE_US], MINUTE_US).parts

    _, judge = judged(*rows)

    stored = {n: decimal(getattr(made, n)) for n in ("open", "high", "low", "close", "volume")}
    stored |= {"notional": decimal(made.notional, 24), "trades": made.trades}
    assert judge.recount.differences(stored) == {}


def test_a_bar_that_is_not_what_its_ticks_make_differs_by_field() -> None:
    _, judge = judged(tick())

    assert judge.recount.differences(bar(high=Decimal(101), trades=2)) == {
        "high": (Decimal(101), Decimal(100)),
        "trades": (2, 1),
    }
    for name in ("open", "low", "close", "volume", "notional"):
        assert list(judge.recount.differences(bar(**{name: Decimal(7)}))) == [name]


def test_an_empty_bar_may_carry_prices() -> None:
    _, judge = judged()
    nothing = {"volume": Decimal(0), "notional": Decimal(0), "trades": 0}

    assert judge.recount.differences(bar(**nothing)) == {}
    assert list(judge.recount.differences(bar(**{**nothing, "volume": Decimal(1)}))) == ["volume"]
    assert len(judge.recount.differences(bar())) == 7


def test_a_late_trade_is_used_and_one_beyond_revise_for_only_recorded() -> None:
    late = {1: Late(us("10:02:00"), revised=True), 2: Late(us("17:00:00"), revised=False)}

    lines, judge = judged(tick(), tick(price="101"), tick(price="102"), late=late)

    assert told(lines) == [(0, "used", ""), (1, "used", "late"), (2, "refused", "too_late")]
    assert judge.recount.values["high"] == 101
    assert "2024-03-04T10:02:00Z" in lines[1].reasons[0].detail
    assert "2024-03-04T17:00:00Z, beyond revise_for" in lines[2].reasons[0].detail


def test_a_late_trade_outside_the_bars_offsets_is_refused_by_what_became_of_it() -> None:
    (trade,) = ticks(tick())

    assert told([late_elsewhere(trade, Late(0, revised=False))]) == [(0, "refused", "too_late")]
    assert told([late_elsewhere(trade, Late(0, revised=True))]) == [(0, "refused", "not_yet")]


def test_a_cancelled_trade_is_refused() -> None:
    lines, judge = judged(
        tick(trade_id="1"), tick(price="107", trade_id="2"), tick(price="107", trade_id=None),
        tick("12:00:00", None, None, trade_id="2", action="CANCEL"),
    )  # fmt: skip

    assert told(lines) == [
        (0, "used", ""), (1, "refused", "cancelled"), (2, "used", ""), (3, "applied", "amendment"),
    ]  # fmt: skip
    assert lines[1].reasons[0].detail == "by the CANCEL at offset 3"
    assert lines[3].reasons[0].detail == "the CANCEL of the trade at offset 1"
    assert judge.recount.values["trades"] == 2


def test_an_amendment_names_the_first_trade_of_its_id() -> None:
    lines, _ = judged(
        tick(trade_id="1"), tick(trade_id="1"),
        tick("12:00:00", None, None, trade_id="1", action="CANCEL"),
    )  # fmt: skip

    assert lines[-1].reasons[0].detail == "the CANCEL of the trade at offset 0"


def test_a_corrected_trade_keeps_its_place_with_the_new_values() -> None:
    lines, judge = judged(
        tick("10:00:01", "90", "1", trade_id="1"), tick("10:00:02", "100", "2"),
        tick("11:00:00", "110.5", "3", trade_id="1", action="CORRECT"),
    )  # fmt: skip

    assert told(lines) == [(0, "used", "corrected"), (1, "used", ""), (2, "applied", "amendment")]
    assert lines[0].reasons[0].detail == (
        "by the CORRECT at offset 2: price 110.5 was 90, size 3 was 1"
    )
    assert judge.recount.values == {
        "open": Decimal("110.5"), "high": Decimal("110.5"), "low": Decimal(100),
        "close": Decimal(100), "volume": Decimal(5), "notional": Decimal("531.5"), "trades": 2,
    }  # fmt: skip


def test_of_several_amendments_the_last_that_is_no_repeat_holds() -> None:
    lines, judge = judged(
        tick(trade_id="1", raw_offset=1),
        tick(price="107", trade_id="1", action="CORRECT", raw_offset=2),
        tick(price="108", trade_id="1", action="CORRECT", raw_offset=3),
        tick(price="107", trade_id="1", action="CORRECT", raw_offset=2),
        tick(price="1", trade_id="other", action="CORRECT", raw_offset=4),
    )

    assert told(lines) == [
        (0, "used", "corrected"), (1, "refused", "superseded"), (2, "applied", "amendment"),
        (3, "refused", "repeat"),
    ]  # fmt: skip
    assert judge.recount.values["close"] == 108


def test_an_amendment_that_was_only_repeated_changes_nothing() -> None:
    lines, _ = judged(
        tick(trade_id="1", raw_offset=5),
        tick(trade_id="1", action="CANCEL", price=None, size=None, raw_offset=5),
    )

    assert told(lines) == [(0, "used", "")]


def test_sale_conditions_limit_what_a_trade_counts_for() -> None:
    lines, judge = judged(
        tick("10:00:01", "90", conditions=["W"]), tick("10:00:02", "100", conditions=["V"]),
        tick("10:00:03", "95"), tick("10:00:04", "80", conditions=["M"]),
        W=HIGH_LOW, V=VOLUME, M=0,
    )  # fmt: skip

    assert told(lines) == [
        (0, "used", "conditions"), (1, "used", "conditions"), (2, "used", ""),
        (3, "refused", "conditions"),
    ]  # fmt: skip
    details = [each.reasons[0].detail for each in lines if each.reasons]
    assert details == [
        "W counts for high and low", "V counts for volume", "M counts for nothing",
    ]  # fmt: skip
    assert judge.recount.values == {
        "open": Decimal(95), "high": Decimal(95), "low": Decimal(90), "close": Decimal(95),
        "volume": Decimal(2), "notional": Decimal(195), "trades": 3,
    }  # fmt: skip


def test_a_gap_touches_the_bars_between_the_trades_around_it() -> None:
    #  bar:        [10:00 ------ 10:01)
    gap = {"symbol": "BTC/USD", "venue": "KRAKEN"}

    def is_touched(after: str, before: str, **other: str) -> bool:
        return touches({**gap, "after_time": at(after), "before_time": at(before), **other}, BAR)

    assert is_touched("09:59:00", "10:00:00")
    assert is_touched("10:00:59.999999", "10:05:00")
    assert is_touched("09:00:00", "11:00:00")
    assert not is_touched("09:59:00", "09:59:59.999999")
    assert not is_touched("10:01:00", "10:05:00")
    assert not is_touched("10:00:01", "10:00:02", symbol="ETH/USD")
    assert not is_touched("10:00:01", "10:00:02", venue="COINBASE")
