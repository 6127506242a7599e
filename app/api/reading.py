"""Records of the served topics, from their bytes to what the streams carry."""

from collections.abc import Callable
from typing import Any

import msgspec

from app import topics
from app.api.streams import Noun, Token, Update
from app.domain.ports import bar_rank, quote_rank
from app.topics import Topic
from schemas.json_form import jsonable, microseconds
from schemas.record import RecordCodec
from schemas.registry import Registry

Row = dict[str, Any]


class Reading:
    """Makes updates of records.

    Args:
        registry: How their values are read.
    """

    def __init__(self, registry: Registry) -> None:
        self._codecs = {
            topic.name: RecordCodec(topic.schema, registry)
            for topic in (*(noun.topic for noun in Noun), topics.GAPS)
        }
        self._json = msgspec.json.Encoder()

    def row(self, topic: Topic, value: bytes | None) -> Row:
        """Return the fields of a record.

        Raises:
            Undecodable: The bytes are no record of the topic.
            RegistryError: Its schema is not known, or not now.
        """
        return self._codecs[topic.name].decode(value)

    def update(self, noun: Noun, value: bytes | None, token: Token, append_ms: int) -> Update:
        """Return a record as its stream carries it; errors as with `row`."""
        row = self.row(noun.topic, value)
        body = self._json.encode(jsonable(noun.topic.schema, row))
        return update_from(noun, row, body, token, append_ms)


def update_from(noun: Noun, row: Row, body: bytes, token: Token, append_ms: int) -> Update:
    """Return a row as its stream carries it; `body` is its JSON form."""
    name, about, rank, mid = _TRAITS[noun](row, token)
    return Update(name, about, token, rank, body, mid, append_ms)


def _quote(row: Row, _token: Token) -> tuple[str, int, Any, float | None]:
    mid = None if row["bid"] is None or row["ask"] is None else float(row["bid"] + row["ask"]) / 2
    return f"quotes:{row['symbol']}@{row['venue']}", 0, quote_rank(row), mid


def _bar(row: Row, _token: Token) -> tuple[str, int, Any, float | None]:
    name = f"bars:{row['symbol']}@{row['venue']}:{row['timeframe']}"
    return name, microseconds(row["open_time"]), bar_rank(row), None


def _tick(row: Row, token: Token) -> tuple[str, int, Any, float | None]:
    return f"ticks:{row['symbol']}@{row['venue']}", token.offset, token.offset, None


def _anomaly(row: Row, token: Token) -> tuple[str, int, Any, float | None]:
    return f"anomalies:{row['symbol']}@{row['venue']}", token.offset, token.offset, None


_TRAITS: dict[Noun, Callable[[Row, Token], tuple[str, int, Any, float | None]]] = {
    Noun.QUOTES: _quote,
    Noun.BARS: _bar,
    Noun.TICKS: _tick,
    Noun.ANOMALIES: _anomaly,
}
