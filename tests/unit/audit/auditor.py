"""The auditor's recompute over ticks in memory, and the same by plain Decimals."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from app.audit.bars import Bars
from app.audit.conservation import Conservation
from app.audit.identity import TICK
from app.audit.market import Market
from app.audit.recompute import Recompute
from app.audit.records import Decoder, Message
from app.audit.report import Report
from app.audit.rules import Rules
from app.settings import load
from tests.live.outside import WIDE, BarKey, Fields, Record
from tests.poison import tick, unscaled

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
REVISE_US = 6 * 3_600_000_000
GRACE_US = 30_000_000
DECIMALS = ("price", "size", "bid", "ask", "bid_size", "ask_size")
SCALES = {**dict.fromkeys(("open", "high", "low", "close", "volume", "vwap"), -12), "notional": -24}
Row = Mapping[str, Any]


class Ledger:
    """The tables of an audit in memory."""

    def __init__(self, catalog: Path | None = None, **env: str) -> None:
        self.db = duckdb.connect()
        settings = load(env, needs=())
        self.report = Report()
        self.market = Market(self.db, settings, Rules(catalog))
        self.recompute = Recompute(self.db, self.market)
        self.decoder = Decoder("tick")
        letters = Decoder("dead_letter")
        self.conservation = Conservation(self.db, self.decoder, letters, self.report)

    def take(self, rows: Sequence[Row], *, chunk: int = 1_000) -> "Ledger":
        """Fold ticks, so many at a time, and then what amendments ask for."""
        messages = [message(n, row) for n, row in enumerate(rows)]
        for start in range(0, len(messages), chunk):
            found, bad = self.decoder.rows(messages[start : start + chunk])
            assert not bad
            table = self.decoder.table(found, TICK)
            self.conservation.accept(found, table)
            self.recompute.fold(table, 0)
        for _, start, stop in self.recompute.dirty_ranges():
            found, _ = self.decoder.rows(messages[start:stop])
            self.recompute.fold_again(self.decoder.table(found, TICK), everything=False)
        return self

    def bars(self) -> dict[BarKey, Fields]:
        """Return the bars by their key, decimals as decimals."""
        Bars(self.db).make()
        cursor = self.db.execute("SELECT * FROM expected")
        names = [column[0] for column in cursor.description]
        bars = {}
        for row in cursor.fetchall():
            bar = dict(zip(names, row, strict=True))
            for name, scale in SCALES.items():
                if bar[name] is not None:
                    bar[name] = Decimal(bar[name]).scaleb(scale, WIDE)
            bar["close_time"] = bar["close_us"]
            bars[bar["symbol"], bar["venue"], bar["timeframe"], bar["open_us"]] = bar
        return bars


@contextmanager
def ledger(catalog: Path | None = None, **env: str) -> Iterator[Ledger]:
    """Return an empty one."""
    made = Ledger(catalog, **env)
    try:
        yield made
    finally:
        made.db.close()


def message(offset: int, row: Row) -> Message:
    """Return a tick, with datetimes and Decimals, as a record of ticks.v1."""
    fields = dict(row)
    for name in ("event_time", "ingest_time"):
        if isinstance(fields[name], datetime):
            fields[name] = (fields[name] - EPOCH) // timedelta(microseconds=1)
    for name in DECIMALS:
        if fields.get(name) is not None:
            fields[name] = unscaled(int(Decimal(fields[name]).scaleb(12, WIDE)))
    return Message(0, offset, fields["event_time"], fields["symbol"].encode(), tick(fields))


def left_by_amendments(rows: Sequence[Row]) -> list[tuple[Record, Fields]]:
    """Return the trades that count, amended, in the order of the log; times in microseconds."""
    last = {(r["venue"], r["symbol"], r["trade_id"]): r for r in rows if r["action"] != "NEW"}
    streams: dict[tuple[str, str], int] = {}
    found = []
    for offset, row in enumerate(rows):
        if row["action"] != "NEW" or row["price"] is None:
            continue
        name = row["venue"], row["symbol"]
        at_us = row["event_time"]
        before_us = streams.get(name, at_us)
        streams[name] = max(before_us, at_us)
        if at_us - at_us % 60_000_000 + 60_000_000 + REVISE_US < before_us:
            continue
        change = last.get((*name, row["trade_id"]))
        if change is not None and change["action"] == "CANCEL":
            continue
        fields = dict(row)
        if change is not None:
            fields |= {"price": change["price"], "size": change["size"]}
        found.append((Record(0, offset, b"", b"", 0), fields))
    return found
