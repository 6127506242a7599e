import pytest

from app.api.streams import BadName, Noun, Stream, Token


@pytest.mark.parametrize(
    ("name", "stream"),
    [
        ("quotes:BTC/USD@KRAKEN", Stream(Noun.QUOTES, "BTC/USD", "KRAKEN")),
        ("ticks:BRK.B@XNYS", Stream(Noun.TICKS, "BRK.B", "XNYS")),
        ("bars:BTC/USD@KRAKEN:M1.bid", Stream(Noun.BARS, "BTC/USD", "KRAKEN", "M1.bid")),
        ("anomalies:A-B.C@X_1", Stream(Noun.ANOMALIES, "A-B.C", "X_1")),
    ],
)
def test_a_name_and_its_stream_are_one(name: str, stream: Stream) -> None:
    assert Stream.parse(name) == stream
    assert stream.name == name


@pytest.mark.parametrize(
    "name",
    ["", "quotes:", "quotes:BTC/USD", "quotes:btc@KRAKEN", "bars:BTC/USD@KRAKEN",
     "quotes:BTC/USD@KRAKEN:M1", "news:BTC/USD@KRAKEN", "quotes:BTC/USD@KRAKEN\n",
     f"quotes:{'A' * 33}@KRAKEN"],
)  # fmt: skip
def test_a_name_of_nothing_is_refused_with_the_rule_and_the_value(name: str) -> None:
    with pytest.raises(BadName, match="a stream must be quotes:") as refused:
        Stream.parse(name)

    assert repr(name) in str(refused.value)


def test_a_token_says_where_to_go_on() -> None:
    assert str(Token(2, 1040)) == "2-1041"
    assert Token.parse("2-1041") == Token(2, 1040)
    assert str(Token(0, -1)) == "0-0"


@pytest.mark.parametrize("text", ["", "1", "1-", "-1-2", "1-2-3", "a-1", "1- 2", "9" * 30])
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(BadName, match="a token must be PARTITION-OFFSET"):
        Token.parse(text)
