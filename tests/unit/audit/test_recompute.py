"""The recompute in SQL equals plain Decimals, and the core, on ticks made up at random."""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.live.recompute import recompute
from tests.unit.audit.auditor import EPOCH, Row, ledger, left_by_amendments
from tests.unit.domain import test_amender as core

FROM_US = 1_704_447_000_000_000
HOUR_US = 3_600_000_000
MINUTE_US = 60_000_000
VALUES = (
    "close_time", "open", "high", "low", "close", "volume", "notional", "vwap", "trades",
    "first_offset", "last_offset", "source_partition",
)  # fmt: skip
CHECKED = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])

huge = st.sampled_from((Decimal(10**15), Decimal("999999999999999.999999999999")))
tiny = st.sampled_from((Decimal("0.000000000001"), Decimal("0.000000000003")))
middling = st.integers(1, 10**8).map(lambda n: Decimal(n).scaleb(-4))
prices = st.one_of(middling, huge, tiny)
sizes = st.one_of(middling, huge, tiny, st.just(Decimal(0)))
times = st.one_of(
    st.sampled_from((0, 1, MINUTE_US - 1, MINUTE_US, 8 * HOUR_US)),
    st.integers(0, 3 * MINUTE_US),
    st.integers(0, 14 * HOUR_US),
)


def row(at_us: int = 0, price: object = 1, size: object = 1, **fields: Any) -> Row:
    """Return a trade, with boring defaults."""
    return {
        "venue": "TEST", "symbol": "A/B", "event_time": FROM_US + at_us, "ingest_time": FROM_US,
        "sequence": None, "trade_id": None, "action": "NEW", "price": Decimal(str(price)),
        "size": Decimal(str(size)), **fields,
    }  # fmt: skip


@st.composite
def logs(draw: st.DrawFn) -> list[Row]:
    """Return trades of two symbols, some with ids, and amendments before and after them."""
    rows = []
    for n in range(draw(st.integers(1, 40))):
        symbol = draw(st.sampled_from(("A/B", "C/D")))
        sequence = draw(st.sampled_from((None, 0, 1, 2**62)))
        trade_id = str(n) if draw(st.booleans()) else None
        made = row(draw(times), draw(prices), draw(sizes), symbol=symbol, sequence=sequence,
                   trade_id=trade_id)  # fmt: skip
        rows.append(made)
    for n in draw(st.lists(st.integers(0, len(rows)), max_size=6)):
        action = draw(st.sampled_from(("CORRECT", "CANCEL")))
        is_cancel = action == "CANCEL"
        change = row(
            draw(times), draw(prices), draw(sizes), action=action, trade_id=str(n),
            symbol=draw(st.sampled_from(("A/B", "C/D"))),
        )  # fmt: skip
        nothing = {"price": None, "size": None} if is_cancel else {}
        rows.insert(draw(st.integers(0, len(rows))), {**change, **nothing})
    return rows


def by_sql(rows: Sequence[Row], chunk: int = 1_000) -> dict[Any, dict[str, Any]]:
    with ledger() as made:
        return only(made.take(rows, chunk=chunk).bars())


def only(bars: Any, names: Sequence[str] = VALUES) -> dict[Any, dict[str, Any]]:
    return {key: {name: bar[name] for name in names} for key, bar in bars.items()}


@CHECKED
@example([row(0, "1e15", "1e15"), row(1, "1e-12", "1e-12")], 1)
@example([row(0, 5, 1), row(0, 7, 1), row(0, 6, 1, sequence=0)], 2)
@example([row(8 * HOUR_US), row(0)], 1)
@example([row(0, trade_id="9"), row(0, 2, trade_id="10"), row(0, 3)], 3)
@given(logs(), st.integers(1, 50))
def test_bars_equal_plain_decimals_however_the_log_is_cut(rows: list[Row], chunk: int) -> None:
    """Ties in time and sequence, huge and tiny values, late, cancelled and corrected trades."""
    assert by_sql(rows, chunk) == only(recompute(left_by_amendments(rows)))


@CHECKED
@given(logs())
def test_bars_equal_those_of_the_core(rows: list[Row]) -> None:
    """Two programs that share no code agree on every bar that has a trade."""
    whole = [_as_core_takes(each) for each in rows]
    told: dict[Any, dict[str, Any]] = {}
    world = core.World()
    world.play(*whole)
    for bar in world.published_bars:
        opened = round(bar["open_time"].timestamp() * 1e6)  # type: ignore[attr-defined]
        told[bar["symbol"], bar["venue"], bar["timeframe"], opened] = bar
    names = [name for name in VALUES if name not in {"close_time", "source_partition"}]
    mine = only(by_sql(rows), names)

    assert mine.keys() <= told.keys()
    for key, bar in told.items():
        if bar["trades"]:
            theirs = {name: bar[name] for name in names}
            if not bar["is_final"]:
                theirs["last_offset"] = mine[key]["last_offset"]  # of a change, not of a trade
            assert mine[key] == theirs, key


def _as_core_takes(each: Row) -> dict[str, Any]:
    times_ = {n: EPOCH + timedelta(microseconds=each[n]) for n in ("event_time", "ingest_time")}
    rest = {"conditions": [], "source": "", "sector": None, "quality": 0, "raw_offset": None,
            "bid": None, "ask": None, "bid_size": None, "ask_size": None}  # fmt: skip
    return {**rest, **each, **times_}


def test_a_bar_is_over_when_its_series_passed_its_close_and_grace() -> None:
    with ledger() as made:
        bars = made.take([row(0), row(2 * MINUTE_US + 30_000_000 - FROM_US % MINUTE_US)]).bars()

    over = {key[2:]: bar["is_over"] for key, bar in bars.items() if key[2] == "M1"}
    assert [over[key] for key in sorted(over)] == [True, False]


def test_a_zombies_repeat_counts_once() -> None:
    """A raw offset that does not rise was read before."""
    rows = [row(0, raw_offset=3), row(1, raw_offset=5), row(0, raw_offset=3), row(2, raw_offset=6)]

    for chunk in (1, 4):
        bars = by_sql(rows, chunk)
        assert {bar["trades"] for bar in bars.values()} == {3}


@pytest.mark.parametrize(("over_us", "trades"), [(0, 2), (1, 1)])
def test_a_trade_counts_for_as_long_as_its_bar_may_be_revised(over_us: int, trades: int) -> None:
    """`revise_for` behind its close is the last moment; a microsecond later it is beyond."""
    late = [row(0), row(MINUTE_US + 6 * HOUR_US + over_us), row(1)]
    for chunk in (1, 3):
        assert by_sql(late, chunk)["A/B", "TEST", "M1", FROM_US]["trades"] == trades
