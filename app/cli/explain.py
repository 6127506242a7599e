"""``tapeline explain``: which ticks made a bar, which were refused, and why."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from app.bar_evidence import BarEvidence, emissions
from app.cli.bars import FIELDS, Series, Store, find_bars, moment, series_of
from app.cli.terminal import AsJson, json_line, line, note, plain, table
from app.counted_log import CountedLog, Read
from app.domain.bars import instant
from app.domain.catalog_file import load_catalog
from app.domain.evidence import Target
from app.domain.explain import Line, UsesOf
from app.domain.plan import Plans
from app.domain.ports import Row, bar_rank
from app.domain.times import instant as time_of
from app.explain import Explanation, explained
from app.log_reader import LogReader
from app.partitions import partition_of
from app.settings import Settings, load
from connectors.registry import open_registry
from connectors.warm_postgres import PostgresWarmStore
from schemas.registry import Registry

SHOWN = (
    "offset", "raw_offset", "event_time", "sequence", "trade_id", "price", "size", "verdict",
    "reason",
)  # fmt: skip
VALUES = ("open", "high", "low", "close", "volume", "vwap", "trades")
READS = ("topic", "partition", "from", "to", "times", "records", "bytes", "gone")


def explain(  # noqa: PLR0913 - options of the command line
    series: Annotated[str, typer.Argument(metavar="SYMBOL@VENUE")],
    timeframe: Annotated[str, typer.Argument(metavar="TIMEFRAME")],
    open_time: Annotated[str, typer.Argument(metavar="OPEN_TIME")],
    limit: Annotated[int, typer.Option(min=0, help="Ticks printed at most.")] = 1000,
    source: Annotated[Store, typer.Option(help="Where the bar is read.")] = Store.WARM,
    as_json: AsJson = False,  # noqa: FBT002 - a flag of the command line
) -> None:
    """Print the ticks of a bar: those that made it, those that were refused, and why.

    Records that became no ticks are looked for from the first to the last of the bar's ticks.
    The status is 0 only when the ticks used make the bar.
    """
    opened = moment("OPEN_TIME", open_time)
    wanted = series_of(series, timeframe, None, None)._replace(start=opened)
    servers = {Store.WARM: ("postgres",), Store.HOT: ("redis",), Store.KAFKA: ()}
    settings = load(needs=("kafka", *servers[source]))
    log = CountedLog(LogReader(settings.kafka_client_config(), settings.topic_prefix))
    registry = open_registry(settings.schema_registry_url)
    known = revisions(settings, source, wanted, log, registry)
    if not known:
        name = f"{timeframe} bar of {wanted.symbol}@{wanted.venue}"
        note(f"no {name} opens at {plain(opened)} in {source.value}")
        raise typer.Exit(1)
    bar = known[-1]
    span_us = time_of(bar["open_time"]).us, time_of(bar["close_time"]).us
    target = Target(wanted.symbol, wanted.venue, *span_us)
    evidence = BarEvidence(log, registry, bar["source_partition"], target)
    found = explained(evidence, known, limit, judged_by(settings, wanted))
    gaps = evidence.gaps()
    if as_json:
        for each in found.lines:
            json_line(tick_fields(each))
        json_line(summary(bar, found, gaps, log.reads))
    else:
        for text in heading(bar, gaps):
            line(text)
        if found.lines:
            table(SHOWN, map(_shown, found.lines))
        for text in ending(found, log.reads):
            line(text)
    if found.differences:
        raise typer.Exit(1)


def judged_by(settings: Settings, wanted: Series) -> UsesOf:
    """Return what the catalog says that prints of a series count for, by their sale conditions."""
    catalog = load_catalog(Path(settings.catalog) if settings.catalog else None)
    return partial(Plans(catalog, settings.ladder).allowed, (wanted.venue, wanted.symbol))


def revisions(
    settings: Settings, source: Store, wanted: Series, log: CountedLog, registry: Registry
) -> list[Row]:
    """Return what a store knows of the bar that opens with `wanted`, the newest revision last."""
    symbol, venue, timeframe, start, *_ = wanted
    if start is None:
        raise AssertionError("one bar is wanted, by its open time")
    if source is Store.KAFKA:
        partition, at_us = partition_of(symbol, settings.partitions), time_of(start).us
        target = Target(symbol, venue, at_us, at_us)
        return emissions(log, registry, partition, target, timeframe)
    found = []
    if source is Store.WARM:
        with closing(PostgresWarmStore(settings.postgres_url)) as warm:
            found = warm.revisions(symbol, venue, timeframe, start)
    # The bar itself comes last among equals: it is what must be explained.
    found += find_bars(settings, source, wanted._replace(end=start + timedelta(microseconds=1)))
    return sorted(found, key=bar_rank)


def tick_fields(each: Line) -> dict[str, Any]:
    """Return a line's fields: the tick's, the verdict, the codes and the words of its reasons."""
    tick = each.tick
    return {
        "offset": tick.offset,
        "raw_offset": tick.raw_offset,
        "event_time": None if tick.event_us is None else instant(tick.event_us),
        "sequence": tick.sequence,
        "trade_id": tick.trade_id,
        "price": tick.price,
        "size": tick.size,
        "action": tick.action,
        "conditions": list(tick.conditions),
        "verdict": each.verdict,
        "reasons": [reason.code for reason in each.reasons],
        "detail": "; ".join(reason.detail for reason in each.reasons),
    }


def summary(
    bar: Row, found: Explanation, gaps: Sequence[Row], reads: Sequence[Read]
) -> dict[str, Any]:
    """Return the last line of JSON: the bar, whether it adds up, and what was read."""
    return {
        "bar": {name: plain(bar[name]) for name in FIELDS},
        "verdict": _verdict(found),
        "differences": {
            name: {"bar": plain(of_bar), "ticks": plain(of_ticks)}
            for name, (of_bar, of_ticks) in found.differences.items()
        },
        "counts": found.counts,
        "reasons": found.reasons,
        "more": found.more,
        "gaps": [{name: plain(value) for name, value in gap.items()} for gap in gaps],
        "read": [dict(zip(READS, _read_fields(read), strict=True)) for read in reads],
    }


def heading(bar: Row, gaps: Sequence[Row]) -> Iterator[str]:
    """Yield the bar, its lineage and the gaps that touch it."""
    yield f"{bar['symbol']}@{bar['venue']} {bar['timeframe']} {_span(bar, 'open', 'close')}"
    yield "  ".join(f"{name} {plain(bar[name])}" for name in VALUES)
    marks = ["final" if bar["is_final"] else "provisional"]
    marks += [] if bar["complete"] else ["incomplete"]
    marks += ["partial"] if bar["partial"] else []
    yield (
        f"revision {bar['revision']} ({bar['reason']}), {', '.join(marks)}, "
        f"late {bar['late']}, duplicates {bar['duplicates']}; partition "
        f"{bar['source_partition']}, offsets {bar['first_offset']} to {bar['last_offset']}"
    )
    for gap in gaps:
        state = "open"
        if gap["repaired_at"] is not None:
            state = f"repaired at {plain(gap['repaired_at'])} by {gap['repaired_by']}"
        missing = f"ids {gap['from_id']} to {gap['to_id']}"
        yield f"gap: {missing} missing between {_span(gap, 'after', 'before')}, {state}"


def ending(found: Explanation, reads: Sequence[Read]) -> Iterator[str]:
    """Yield what was left out, whether the bar adds up, and what was read."""
    if found.more:
        yield f"and {found.more} more; --limit prints them"
    counts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(found.counts.items()))
    reasons = ", ".join(f"{code} {count}" for code, count in sorted(found.reasons.items()))
    yield (counts or "no ticks") + (f" ({reasons})" if reasons else "")
    if not found.differences:
        yield "equal: the ticks used make the bar"
    for name, (of_bar, of_ticks) in found.differences.items():
        yield f"differs: {name} is {plain(of_bar)}, the ticks used make {plain(of_ticks)}"
    for read in reads:
        if read.gone:
            where = f"{read.topic}[{read.partition}]"
            asked = f"{read.stop - read.start} offsets from {read.start} to {read.stop - 1}"
            yield f"gone: {read.gone} of {where}'s {asked} are not kept any more"
    for read in reads:
        topic, partition, first, last, times, records, size, _ = _read_fields(read)
        often = "" if times == 1 else f", {times} times"
        yield f"read {topic}[{partition}] {first} to {last}{often}: {records} records, {size} bytes"


def _verdict(found: Explanation) -> str:
    return "differs" if found.differences else "equal"


def _shown(each: Line) -> list[object]:
    fields = tick_fields(each)
    fields["reason"] = "; ".join(f"{code}: {detail}" for code, detail in each.reasons)
    return [fields[name] for name in SHOWN]


def _read_fields(read: Read) -> tuple[Any, ...]:
    return (
        read.topic, read.partition, read.start, read.stop - 1, read.times, read.records,
        read.bytes, read.gone,
    )  # fmt: skip


def _span(record: Row, first: str, last: str) -> str:
    return f"{plain(record[f'{first}_time'])} to {plain(record[f'{last}_time'])}"
