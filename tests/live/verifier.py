"""The outside verifier: recomputes every bar from what was published, and judges I1 to I6.

    I1  every unique tick published is accepted once, or refused
    I2  every bar of every timeframe is right to the last digit, in Kafka, Redis and Postgres
    I3  what a replay leaves behind is byte-equal: compare two `Snapshot`s
    I4  the newest emission of a bar is its last in the log; an emission repeated is the same
    I5  groups have committed the logs' ends (see `World.settle`, which also measures how soon)
    I6  every refused record is in the dead letters once, whole, with its place and a reason

Plain dicts and Decimals, none of the application's code.
"""

import json
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.live.outside import BarKey, Fields, Outside, Record, decode, key_of
from tests.live.recompute import recompute

GRACE_US = 30_000_000
REDIS_KEEPS = 2_000
VALUES = (
    "close_time", "open", "high", "low", "close", "volume", "notional", "vwap", "trades",
    "first_offset", "last_offset", "source_partition",
)  # fmt: skip
"""What is recomputed; with the lineage, so that a bar says which ticks it is made of."""
RAW, TICKS = "ticks.raw.v1", "ticks.v1"
MOST_SHOWN = 5

Sent = Collection[tuple[bytes | None, bytes | None]]
"""Keys and values."""
Canonical = Callable[[str, str], str]
Identity = tuple[Any, ...]
Series = tuple[str, str]
"""Symbol and venue."""


def same(_venue: str, symbol: str) -> str:
    """Return the symbol: no aliases."""
    return symbol


@dataclass
class Verdict:
    """What the verifier found.

    Attributes:
        faults: What is wrong, in words; empty is right.
        numbers: By invariant.
        bars: The newest emission of every bar in bars.v1.
        letters: The dead letters by (partition, offset) of ticks.raw.v1.
        late: Trades in ticks.late.v1.
    """

    faults: list[str] = field(default_factory=list)
    numbers: dict[str, dict[str, Any]] = field(default_factory=dict)
    bars: dict[BarKey, Fields] = field(default_factory=dict)
    letters: dict[tuple[int, int], Fields] = field(default_factory=dict)
    late: int = 0

    def blame(self, invariant: str, faults: Iterable[str], **numbers: Any) -> None:
        """Note what an invariant's check found."""
        found = list(faults)
        self.faults += [f"{invariant}: {fault}" for fault in found[:MOST_SHOWN]]
        if len(found) > MOST_SHOWN:
            self.faults.append(f"{invariant}: and {len(found) - MOST_SHOWN} more")
        self.numbers[invariant] = {**self.numbers.get(invariant, {}), **numbers}

    def line(self, **more: Any) -> str:
        """Return one JSON line."""
        return json.dumps({"faults": len(self.faults), **self.numbers, **more})

    def require(self, **more: Any) -> None:
        """Print the line, and fail when anything is wrong."""
        sys.stdout.write(self.line(**more) + "\n")
        assert not self.faults, "\n".join(self.faults)


@dataclass(frozen=True)
class Snapshot:
    """Bars as the stores hold them, byte by byte, and how many ticks and bars are in the logs."""

    postgres: list[str]
    redis: Mapping[str, list[str]]
    ticks: int
    bars: int

    @classmethod
    def of(cls, outside: Outside) -> "Snapshot":
        """Return the present state."""
        ticks, bars = (sum(outside.ends(topic).values()) for topic in (TICKS, "bars.v1"))
        return cls(outside.postgres_texts(), outside.redis_members(), ticks, bars)


def verify(
    outside: Outside,
    *,
    poison: Sent = (),
    canonical: Canonical = same,
    stores: bool = True,
    has_late: bool = False,
) -> Verdict:
    """Judge a world that has settled.

    Args:
        outside: Where it is.
        poison: What was published and must be refused; all else must be accepted.
        canonical: Symbol by (venue, symbol), where feeds use aliases.
        stores: Whether Redis and Postgres are judged as well.
        has_late: Whether trades may come after their bar was final.
    """
    verdict = Verdict()
    raw = outside.log(RAW)
    good, bad = _sorted_out(raw, frozenset(poison))
    accepted = list(outside.decoded(TICKS))
    _check_letters(verdict, outside, raw, bad)
    unique = _check_conservation(verdict, good, accepted, canonical, len(raw), len(bad))
    expected = recompute(unique)
    _check_log(verdict, outside)
    verdict.late = len(outside.log("ticks.late.v1"))
    if not has_late and verdict.late:
        verdict.blame("I2", [f"{verdict.late} trades were judged late"])
    _check_values(verdict, expected, "Kafka", verdict.bars)
    ends = _stream_times(accepted, outside)
    _check_finality(verdict, expected, ends, has_late=has_late)
    if stores:
        held = outside.redis_bars()
        _check_values(verdict, newest_of_each_series(expected), "Redis", held)
        _check_same(verdict, "Redis", held)
        held = outside.postgres_bars()
        _check_values(verdict, expected, "Postgres", held)
        _check_same(verdict, "Postgres", held)
        places = {(record.partition, record.offset) for record, _ in accepted}
        if outside.postgres_ticks() != places:
            verdict.blame("I1", ["the ticks in Postgres are not those of ticks.v1"])
    return verdict


def identity(tick: Fields, canonical: Canonical = same) -> Identity:
    """Return what makes two deliveries the same tick."""
    series = tick["venue"], canonical(tick["venue"], tick["symbol"])
    if tick["trade_id"] is not None:
        return (*series, tick["trade_id"], tick["action"])
    names = ("event_time", "sequence", "price", "size", "bid", "ask", "bid_size", "ask_size")
    return (*series, None, tick["action"], *(tick[name] for name in names))


def newest_of_each_series(bars: Mapping[BarKey, Fields]) -> dict[BarKey, Fields]:
    """Return as many of the newest bars of each series as Redis keeps."""
    series: dict[tuple[str, str, str], list[BarKey]] = {}
    for key in bars:
        series.setdefault(key[:3], []).append(key)
    return {key: bars[key] for keys in series.values() for key in sorted(keys)[-REDIS_KEEPS:]}


def _sorted_out(
    raw: list[Record], poison: Collection[tuple[bytes | None, bytes | None]]
) -> tuple[list[tuple[Record, Fields]], list[Record]]:
    good, bad = [], []
    for record in raw:
        if (record.key, record.value) in poison:
            bad.append(record)
        else:
            good.append((record, decode("tick", record.value)))
    return good, bad


def _check_letters(
    verdict: Verdict, outside: Outside, raw: list[Record], bad: list[Record]
) -> None:
    """I6: the dead letters are the poison, each once, as it was."""
    topic = outside.prefix + RAW
    places = Counter[tuple[int, int]]()
    faults = []
    for _, letter in outside.decoded("ticks.dlq.v1"):
        place = letter["partition"], letter["offset"]
        if letter["topic"] != topic:
            faults.append(f"a dead letter of {letter['topic']}: {letter['detail']}")
            continue
        places[place] += 1
        verdict.letters[place] = letter
    expected = {(record.partition, record.offset): record for record in bad}
    known = {(record.partition, record.offset) for record in raw}
    faults += [f"{place} is in the dead letters {n} times" for place, n in places.items() if n > 1]
    faults += [f"{place} was refused silently" for place in expected.keys() - places.keys()]
    for place in places.keys() - expected.keys():
        why = verdict.letters[place]["reason"] if place in known else "it was never published"
        faults.append(f"{place} is in the dead letters: {why}")
    for place in expected.keys() & places.keys():
        letter, record = verdict.letters[place], expected[place]
        if (letter["key"], letter["value"]) != (record.key, record.value):
            faults.append(f"{place} is not whole in the dead letters")
        if not letter["reason"] or not letter["detail"]:
            faults.append(f"{place} is in the dead letters without a reason")
    verdict.blame("I6", faults, refused=len(bad), dead_letters=sum(places.values()))


def _check_conservation(  # noqa: PLR0913 - what was published, and what became of it
    verdict: Verdict,
    good: list[tuple[Record, Fields]],
    accepted: list[tuple[Record, Fields]],
    canonical: Canonical,
    published: int,
    refused: int,
) -> list[tuple[Record, Fields]]:
    """I1; return each unique tick published, with its place in ticks.v1."""
    unique: dict[Identity, Fields] = {}
    for _, tick in good:
        tick["symbol"] = canonical(tick["venue"], tick["symbol"])
        unique.setdefault(identity(tick), tick)
    sources = {(record.partition, record.offset): tick for record, tick in good}
    faults: list[str] = []
    places: dict[Identity, Record] = {}
    homes: dict[str, int] = {}
    for record, tick in accepted:
        name = identity(tick)
        if name in places:
            faults.append(f"{name} is in ticks.v1 twice")
        elif name not in unique:
            faults.append(f"{name} is in ticks.v1 and was never published")
        places.setdefault(name, record)
        source = sources.get((record.partition, tick["raw_offset"]))
        if source is None or _content(source) != _content(tick):
            faults.append(f"{name} is not what was published at its raw_offset")
        if record.key != tick["symbol"].encode():
            faults.append(f"{name} has the key {record.key!r}")
        if homes.setdefault(tick["symbol"], record.partition) != record.partition:
            faults.append(f"{tick['symbol']} is in two partitions")
    faults += [f"{name} was lost" for name in unique.keys() - places.keys()]
    verdict.blame(
        "I1", faults,
        published=published, refused=refused, unique=len(unique), accepted=len(accepted),
        repeats=len(good) - len(unique),
    )  # fmt: skip
    return [(places[name], tick) for name, tick in unique.items() if name in places]


def _content(tick: Fields) -> Fields:
    """Return what normalization must leave alone."""
    return {name: v for name, v in tick.items() if name not in {"quality", "raw_offset"}}


def _check_log(verdict: Verdict, outside: Outside) -> None:
    """I4 on bars.v1; take the newest emission of each bar."""
    faults = []
    last: dict[BarKey, tuple[int, int]] = {}
    seen: dict[tuple[Any, ...], Fields] = {}
    emissions = 0
    for record, bar in outside.decoded("bars.v1"):
        emissions += 1
        key, rank = key_of(bar), (bar["revision"], bar["last_offset"])
        name = f"{key[0]}@{key[1]}|{key[2]}|{key[3]}"
        if record.key != name.encode() or record.partition != bar["source_partition"]:
            faults.append(f"{name} has the key {record.key!r} in partition {record.partition}")
        if bar["revision"] and seen.setdefault((key, *rank), bar) != bar:
            faults.append(f"{name} has two values at {rank}")
        if bar["is_final"] != (bar["revision"] > 0) or not bar["reason"]:
            faults.append(f"{name} is final without a revision, or the other way about")
        last[key] = rank
        known = verdict.bars.get(key)
        if known is None or rank >= (known["revision"], known["last_offset"]):
            verdict.bars[key] = bar
    for key, rank in last.items():
        newest = verdict.bars[key]
        if rank != (newest["revision"], newest["last_offset"]):
            faults.append(f"{key} ends at {rank}, before the newest: compaction would lose it")
    verdict.blame("I4", faults, emissions=emissions)


def _check_values(
    verdict: Verdict,
    expected: Mapping[BarKey, Fields],
    where: str,
    found: Mapping[BarKey, Fields],
) -> None:
    faults = [f"{where} lacks {key}" for key in expected.keys() - found.keys()]
    faults += [f"{where} has {key}, which no trade makes" for key in found.keys() - expected.keys()]
    for key in expected.keys() & found.keys():
        bar, right = found[key], expected[key]
        wrong = [name for name in VALUES if bar.get(name) != right[name]]
        if wrong:
            shown = ", ".join(f"{n} {bar.get(n)} must be {right[n]}" for n in wrong)
            faults.append(f"{where} {key}: {shown}")
    verdict.blame("I2", faults, **{f"bars_{where.lower()}": len(found)})


def _stream_times(accepted: Sequence[tuple[Record, Fields]], outside: Outside) -> dict[Series, int]:
    """Return the stream time of each series, µs: its latest trade's, moved on by the clock (S7).

    The clock moves it by what went by between the append of its last trade and a recorded tick of
    the clock that counts behind it.
    """
    latest: dict[Series, int] = {}
    last: dict[Series, Record] = {}
    for record, tick in accepted:
        if tick["price"] is not None:
            series = tick["symbol"], tick["venue"]
            latest[series] = max(latest.get(series, 0), tick["event_time"])
            last[series] = record
    for record, clock in outside.decoded("clock.v1"):
        for series, newest in last.items():
            if record.partition == newest.partition and clock["tick_offset"] >= newest.offset:
                idle_us = clock["time"] - newest.append_us
                latest[series] = max(latest[series], latest[series] + idle_us)
                last[series] = newest._replace(append_us=clock["time"])
    return latest


def _check_finality(
    verdict: Verdict,
    expected: Mapping[BarKey, Fields],
    ends: Mapping[Series, int],
    *,
    has_late: bool,
) -> None:
    """I4: a bar is final when its own series' stream time has passed its end and grace."""
    faults = []
    for key, bar in verdict.bars.items():
        if key not in expected:
            continue
        is_over = expected[key]["close_time"] + GRACE_US <= ends[key[:2]]
        if bar["is_final"] != is_over:
            faults.append(f"{key} must be final: {is_over}, is {bar['is_final']}")
        if not has_late and bar["revision"] > 1:
            faults.append(f"{key} has revision {bar['revision']} though nothing was late")
    final = sum(bar["is_final"] for bar in verdict.bars.values())
    verdict.blame("I4", faults, final=final)


def _check_same(verdict: Verdict, where: str, held: Mapping[BarKey, Fields]) -> None:
    """I4: what a store holds is the newest emission, whole."""
    faults = []
    for key, bar in held.items():
        newest = verdict.bars.get(key, {})
        differs = [name for name, value in newest.items() if bar.get(name) != value]
        if differs:
            faults.append(f"{where} {key} is not the newest emission: {', '.join(differs)}")
    verdict.blame("I4", faults)
