"""``tapeline bars``: the newest revision of each bar of a series."""

import csv
import sys
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from enum import Enum
from typing import Annotated, Any, NamedTuple

import typer

from app import topics
from app.cli.terminal import AsJson, json_line, note, plain, table
from app.domain.ports import Row, bar_key, bar_rank, newest
from app.domain.symbols import canonical
from app.domain.timeframes import timeframe as checked_timeframe
from app.domain.times import instant
from app.errors import ConfigError
from app.partitions import partition_of
from app.settings import Settings, load
from connectors.hot_redis import RedisHotStore
from connectors.kafka_reader import read
from connectors.registry import open_registry
from connectors.warm_postgres import PostgresWarmStore
from schemas.record import RecordCodec
from schemas.registry import current

FIELDS: tuple[str, ...] = tuple(field["name"] for field in current("bar")["fields"])
SHOWN = (
    "open_time", "open", "high", "low", "close", "volume", "vwap", "trades", "revision", "reason",
)  # fmt: skip
ALL = 1_000_000_000
"""More bars than any series has."""


class Store(Enum):
    """Where bars are read."""

    WARM = "warm"
    HOT = "hot"
    KAFKA = "kafka"


class Series(NamedTuple):
    """Which bars: start <= open_time < end, at most `limit`, the newest."""

    symbol: str
    venue: str
    timeframe: str
    start: datetime | None = None
    end: datetime | None = None
    limit: int = ALL


def bars(  # noqa: PLR0913 - options of the command line
    series: Annotated[str, typer.Argument(metavar="SYMBOL@VENUE")],
    timeframe: Annotated[str, typer.Option("--timeframe", "-t")] = "M1",
    start: Annotated[str | None, typer.Option("--from", help="First open_time.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="Open times are before it.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = ALL,
    source: Annotated[Store, typer.Option(help="Where they are read.")] = Store.WARM,
    as_json: AsJson = False,  # noqa: FBT002 - a flag of the command line
    as_csv: Annotated[bool, typer.Option("--csv")] = False,  # noqa: FBT002
) -> None:
    """Print bars, oldest first, the newest revision of each."""
    wanted = series_of(series, timeframe, start, end, limit)
    servers = {Store.WARM: "postgres", Store.HOT: "redis", Store.KAFKA: "kafka"}
    found = find_bars(load(needs=(servers[source],)), source, wanted)
    if as_json:
        for bar in found:
            json_line({name: bar[name] for name in FIELDS})
    elif as_csv:
        _csv(found)
    else:
        table(SHOWN, ([bar[name] for name in SHOWN] for bar in found))
    if not found:
        note(f"no {wanted.timeframe} bars of {wanted.symbol}@{wanted.venue} in {source.value}")


def series_of(
    name: str, timeframe: str, start: str | None, end: str | None, limit: int = ALL
) -> Series:
    """Return the series that the command line names; the symbol may be the venue's own.

    Raises:
        ConfigError: A part breaks its rule.
    """
    symbol, mark, venue = name.rpartition("@")
    if not mark or not symbol or not venue:
        raise ConfigError(f"series must be SYMBOL@VENUE, was {name!r}")
    try:
        checked_timeframe(timeframe)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    return Series(
        canonical(symbol, venue), venue, timeframe, moment("--from", start), moment("--to", end),
        limit,
    )  # fmt: skip


def moment(option: str, text: str | None) -> datetime | None:
    """Return the instant that an option names: as in a tick, or a day, which is UTC's.

    Raises:
        ConfigError: It is no instant.
    """
    if text is None:
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        pass
    try:
        return instant(text).moment()
    except ValueError as error:
        raise ConfigError(f"{option} {error}, or a day such as 2023-11-14, was {text!r}") from None


def find_bars(settings: Settings, source: Store, series: Series) -> list[Row]:
    """Return the newest revision of each bar of a series, oldest first."""
    symbol, venue, timeframe, start, end, limit = series
    if source is Store.WARM:
        with closing(PostgresWarmStore(settings.postgres_url)) as warm:
            return warm.bars(symbol, venue, timeframe, start, end, limit)
    if source is Store.HOT:
        with closing(RedisHotStore(settings.redis_url, prefix=settings.redis_prefix)) as hot:
            return hot.bars(symbol, venue, timeframe, limit, start, end)
    return _on_kafka(settings, series)


def _on_kafka(settings: Settings, series: Series) -> list[Row]:
    codec = RecordCodec(topics.BARS.schema, open_registry(settings.schema_registry_url))
    begin = f"{series.symbol}@{series.venue}|{series.timeframe}|".encode()
    blocks = read(
        settings.kafka_client_config(),
        settings.topic(topics.BARS),
        partitions=[partition_of(series.symbol, settings.partitions)],
    )
    every = [
        codec.decode(record.value)
        for block in blocks
        for record in block
        if record.value is not None and (record.key or b"").startswith(begin)
    ]
    kept = [
        bar
        for bar in newest(every, bar_key, bar_rank)
        if (series.start is None or series.start <= bar["open_time"])
        and (series.end is None or bar["open_time"] < series.end)
    ]
    return sorted(kept, key=_open_time)[-series.limit :]


def _open_time(bar: Row) -> datetime:
    opened: datetime = bar["open_time"]
    return opened


def _csv(found: Sequence[Row]) -> None:
    writer: Any = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(FIELDS)
    writer.writerows([plain(bar[name]) for name in FIELDS] for bar in found)
