"""Names of the hot store's keys: others read them, and a worker of the release before this one."""

import pytest

from connectors.hot_keys import Keys

KEYS = Keys("tl")


def test_names_are_as_documented() -> None:
    names = (
        KEYS.bars("BTC/USD", "KRAKEN", "M1"), KEYS.quote("BTC/USD", "KRAKEN"),
        KEYS.quotes("BTC/USD", "KRAKEN"), KEYS.ticks("BTC/USD", "KRAKEN"), KEYS.whole("bars.v1:0"),
    )  # fmt: skip

    assert names == (
        "tl:bars:BTC/USD@KRAKEN:M1", "tl:quote:BTC/USD@KRAKEN", "tl:quotes:BTC/USD@KRAKEN",
        "tl:ticks:BTC/USD@KRAKEN", "tl:whole:bars.v1:0",
    )  # fmt: skip


@pytest.mark.parametrize("noun", ["bars", "quote", "ticks"])
def test_a_keys_series_is_read_from_it(noun: str) -> None:
    end = ("M1.bid",) if noun == "bars" else ()
    key = getattr(KEYS, noun)("BTC/USD", "KRAKEN", *end)

    assert KEYS.series(key) == ("BTC/USD", "KRAKEN")


@pytest.mark.parametrize("key", ["tl:whole:bars.v1:0", "tl:quotes:A@B", "tl:bars:A", "tl", ""])
def test_what_is_no_key_of_a_series_has_none(key: str) -> None:
    assert KEYS.series(key) is None
