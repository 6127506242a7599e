"""The outside verifier: a whole audit (`app.audit`), and what only a test knows: what it sent.

I1  every unique tick published is accepted once, under its canonical name
I2  every bar is right to the last digit, in Kafka, Redis and Postgres: the audit's word
I3  what a replay leaves behind is byte-equal: compare two `Snapshot`s
I4  revisions never go back: the audit's; none is there where nothing was late
I5  groups have committed the logs' ends (see `World.settle`, which also measures how soon)
I6  what was to be refused is in the dead letters, and nothing else
"""

import json
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from app.audit.run import audit
from app.audit.scope import Scope
from app.settings import load
from tests.live.outside import BarKey, Fields, Outside, Record, decode, key_of

GRACE_US = 30_000_000
"""BARS_GRACE by default."""
RAW, TICKS = "ticks.raw.v1", "ticks.v1"
MOST_SHOWN = 5

Sent = Collection[tuple[bytes | None, bytes | None]]
"""Keys and values."""
Canonical = Callable[[str, str], str]
Identity = tuple[Any, ...]


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
    _audit(verdict, outside, stores=stores)
    raw = outside.log(RAW)
    good, bad = _sorted_out(raw, frozenset(poison))
    accepted = list(outside.decoded(TICKS))
    _check_letters(verdict, outside, raw, bad)
    _check_conservation(verdict, good, accepted, canonical, len(raw), len(bad))
    _take_bars(verdict, outside, has_late=has_late)
    verdict.late = len(outside.log("ticks.late.v1"))
    if not has_late and verdict.late:
        verdict.blame("I2", [f"{verdict.late} trades were judged late"])
    if stores:
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


def _audit(verdict: Verdict, outside: Outside, *, stores: bool) -> None:
    """Audit all that there is, as `tapeline audit --full` does."""
    report = audit(load(outside.env(), needs=("kafka",)), Scope(is_full=True, has_stores=stores))
    for invariant, count in report.counts.items():
        faults = [
            ", ".join(f"{name} {value}" for name, value in each.items() if name != "invariant")
            for each in report.differences
            if each["invariant"] == invariant
        ]
        verdict.blame(invariant, faults[:MOST_SHOWN])
        if count > MOST_SHOWN:
            verdict.faults.append(f"{invariant}: and {count - MOST_SHOWN} more")
    for invariant, numbers in report.numbers.items():
        verdict.blame(invariant, [], **numbers)


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
) -> None:
    """I1: each unique tick published is accepted, in the one partition of its symbol."""
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


def _content(tick: Fields) -> Fields:
    """Return what normalization must leave alone."""
    return {name: v for name, v in tick.items() if name not in {"quality", "raw_offset"}}


def _take_bars(verdict: Verdict, outside: Outside, *, has_late: bool) -> None:
    """Take the newest emission of each bar; where nothing is late none is beyond the first."""
    for _, bar in outside.decoded("bars.v1"):
        rank = bar["revision"], bar["last_offset"]
        known = verdict.bars.get(key_of(bar))
        if known is None or rank >= (known["revision"], known["last_offset"]):
            verdict.bars[key_of(bar)] = bar
    revised = [key for key, bar in verdict.bars.items() if bar["revision"] > 1]
    if not has_late:
        verdict.blame("I4", (f"{key} was revised though nothing was late" for key in revised))
