"""What each series follows: the catalog's rules, as the bars' core wants them."""

import numpy as np
import pytest

from app.domain.catalog_file import load_catalog, parse
from app.domain.partials import EVERYTHING, HIGH_LOW, OPEN_CLOSE, VOLUME
from app.domain.plan import Plans
from app.errors import ConfigError
from app.settings import Settings, load
from tests.unit.domain.ticks import tick, trades


def settings(**given: str) -> Settings:
    return load({"TAPELINE_HOME": "/nowhere", **given}, needs=())


def plans(text: str, **given: str) -> Plans:
    return Plans(parse("catalog", text), settings(**given).ladder)


def test_the_grace_of_a_series_goes_before_that_of_all() -> None:
    made = plans(
        '[venues.A]\n[[series]]\nvenue = "A"\nsymbol = "X"\ngrace = { "M1" = "5s", D1 = "2m" }\n'
        '[[series]]\nvenue = "A"\nsymbol = "Y"\ngrace = "1m"',
        BARS_GRACE="30s",
    )

    def graces(symbol: str) -> list[int]:
        return [rung.grace_us // 1_000_000 for rung in made.of(("A", symbol)).ladder.rungs]

    assert graces("X") == [5, 30, 30, 30, 30, 120]
    assert graces("Y") == [60] * 6
    assert graces("Z") == [30] * 6


def test_every_entry_that_does_not_fit_is_named_at_the_start() -> None:
    text = (
        '[venues.NY]\nsession = "XNYS"\n[venues.A]\n'
        '[[series]]\nvenue = "A"\nsymbol = "X"\ngrace = { M1 = "1m" }\n'
    )
    with pytest.raises(ConfigError) as caught:
        plans(text, BARS_TIMEFRAMES="M1,D2", BARS_GRACE="30s").require()

    first, second = str(caught.value).splitlines()
    assert first.startswith("catalog A X: grace of D2 must be at least that of M1")
    assert second.startswith("catalog NY *: timeframes of session profile XNYS must be")


def test_the_catalog_that_ships_fits() -> None:
    Plans(load_catalog(None), settings().ladder).require()


def test_ingest_time_is_the_clock_of_the_series_that_say_so() -> None:
    """S2: event time for all others, in the same block."""
    made = plans('[venues.A]\n[[series]]\nvenue = "A"\nsymbol = "*"\nclock = "ingest"')
    ticks = trades(
        tick("10:00:00", venue="A", ingest_time=tick("10:00:05")["event_time"]),
        tick("10:00:00", venue="B", ingest_time=tick("10:00:05")["event_time"]),
    )

    assert (made.clocked(ticks).at_us - ticks.at_us).tolist() == [5_000_000, 0]
    assert plans("").clocked(ticks) is ticks


def test_conditions_are_judged_by_the_table_of_the_venue_and_the_session() -> None:
    """S9: an extended-hours print gives prices outside the session only."""
    made = plans('[venues.NY]\nsession = "XNYS"\nconditions = "us_equities"\n[venues.A]')
    ticks = trades(
        tick("15:00:00", venue="NY", conditions=["T"]),
        tick("23:00:00", venue="NY", conditions=["T"]),
        tick("15:00:00", venue="A", conditions=["T"]),
        tick("15:00:00", venue="NY"),
    )

    uses = made.uses(ticks)
    assert uses.dtype == np.uint8
    assert uses[0] & (OPEN_CLOSE | HIGH_LOW) == 0
    assert uses[0] & VOLUME
    assert uses[1:].tolist() == [EVERYTHING] * 3


def test_a_composite_series_is_made_of_its_members_and_none_else() -> None:
    made = plans(
        "[venues.A]\n[venues.B]\n[venues.C]\n"
        '[[series]]\nvenue = "ALL"\nsymbol = "X"\nof = ["A", "B"]'
    )
    ticks = trades(*(tick(venue=venue, symbol=symbol) for venue in "ABC" for symbol in "XY"))

    [(joined, rows)] = made.joined(ticks)
    assert (joined.names, rows.tolist()) == ([("ALL", "X")], [0, 2])
    assert made.members(("ALL", "X")) == [("A", "X"), ("B", "X")]
    assert made.members(("A", "X")) == [("A", "X")]
    assert list(plans("").joined(ticks)) == []
