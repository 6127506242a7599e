"""``tapeline top``: rates, lag, bars and dead letters, as they are now."""

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from app import topics
from app.cli.terminal import AsJson, json_line, table
from app.cli.topics import kafka_admin
from app.settings import Settings, load
from app.topics import Topic, TopicPartition
from connectors.kafka_admin import KafkaAdmin, Lag

READS: Mapping[str, Sequence[Topic]] = {
    "compute": (topics.RAW, topics.TICKS),
    "hot": (topics.TICKS, topics.BARS, topics.QUOTES),
    "warm": (topics.TICKS, topics.BARS),
}
"""Topics of each worker role; a test compares it with the composition root's."""


@dataclass(frozen=True)
class Look:
    """The broker at one moment: ends of partitions and the groups' lags."""

    at_s: float
    ends: Mapping[TopicPartition, int]
    begins: Mapping[TopicPartition, int]
    lags: Sequence[Lag]

    def records(self, topic: str) -> int:
        """Return how many records a topic ever took."""
        return sum(end for at, end in self.ends.items() if at.topic == topic)

    def kept(self, topic: str) -> int:
        """Return how many offsets of a topic are still there."""
        return sum(end - self.begins[at] for at, end in self.ends.items() if at.topic == topic)


def top(
    once: Annotated[bool, typer.Option("--once", help="One look, then end.")] = False,  # noqa: FBT002
    every: Annotated[float, typer.Option(min=0.2, help="Seconds between two looks.")] = 1,
    as_json: AsJson = False,  # noqa: FBT002 - a flag of the command line
) -> None:
    """Show rates of every topic, lag by group and partition, bars and dead letters."""
    settings = load(needs=("kafka",))
    admin = kafka_admin(settings)
    before = look(admin, settings)
    if once or as_json:
        while True:
            time.sleep(every)
            before, now = look(admin, settings), before
            state = summary(settings, now, before)
            if as_json:
                json_line(state)
            else:
                table(("topic", "records", "a second"), _topic_rows(state))
                table(("group", "topic", "partition", "lag"), _lag_rows(state))
            if once:
                return
    with suppress(KeyboardInterrupt), Live(screen=True, auto_refresh=False) as live:
        while True:
            time.sleep(every)
            now = look(admin, settings)
            live.update(_screen(summary(settings, before, now)), refresh=True)
            before = now


def look(admin: KafkaAdmin, settings: Settings) -> Look:
    """Return the broker as it is now."""
    names = [settings.topic(topic) for topic in topics.ALL]
    groups = {
        settings.group_of(role): [settings.topic(topic) for topic in read]
        for role, read in READS.items()
    }
    at_s = time.monotonic()
    ends = admin.ends(names)
    lags = admin.lag(groups, ends=ends)
    return Look(at_s, ends, admin.ends(names, first=True), lags)


def summary(settings: Settings, before: Look, now: Look) -> dict[str, Any]:
    """Return what two looks tell: rates between them, and all else of the later one."""
    seconds = max(now.at_s - before.at_s, 1e-9)
    names = {topic: settings.topic(topic) for topic in topics.ALL}
    return {
        "topics": [
            {
                "topic": name,
                "records": now.kept(name),
                "per_s": round((now.records(name) - before.records(name)) / seconds, 1),
            }
            for name in names.values()
        ],
        "lag": [
            {
                "group": lag.group,
                "topic": lag.topic,
                "partition": lag.partition,
                "committed": lag.committed,
                "end": lag.end,
                # A group may have gone past the ends while its commits were asked for.
                "lag": max(lag.records, 0),
            }
            for lag in now.lags
        ],
        "bars": now.kept(names[topics.BARS]),
        "gaps": now.kept(names[topics.GAPS]),
        "late": now.kept(names[topics.LATE]),
        "dead_letters": now.kept(names[topics.DEAD_LETTERS]),
    }


def _topic_rows(state: Mapping[str, Any]) -> Iterable[Sequence[object]]:
    return ([t["topic"], f"{t['records']:,}", f"{t['per_s']:,.0f}"] for t in state["topics"])


def _lag_rows(state: Mapping[str, Any]) -> Iterable[Sequence[object]]:
    return (
        [lag["group"], lag["topic"], lag["partition"], f"{lag['lag']:,}"] for lag in state["lag"]
    )


def _screen(state: Mapping[str, Any]) -> RenderableType:
    rates = Table("topic", "records", "a second", box=None, header_style="bold")
    for row in _topic_rows(state):
        rates.add_row(*map(str, row))
    behind: dict[tuple[str, str], list[str]] = {}
    for lag in state["lag"]:
        behind.setdefault((lag["group"], lag["topic"]), []).append(f"{lag['lag']:,}")
    lags = Table("group", "topic", "lag by partition", box=None, header_style="bold")
    for (group, topic), each in behind.items():
        lags.add_row(group, topic, "  ".join(each))
    color = "red" if state["dead_letters"] else "green"
    letters = Text(f"{state['dead_letters']:,} dead letters, {state['gaps']:,} gap records", color)
    return Group(rates, Text(), lags, Text(), letters)
