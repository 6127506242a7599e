"""What `tapeline explain` reads, in which order it tells it, and how it is printed."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from typer.testing import CliRunner

from app import topics
from app.bar_evidence import BarEvidence, emissions
from app.cli.commands import commands
from app.cli.explain import ending, heading, summary, tick_fields
from app.cli.terminal import json_line
from app.counted_log import CountedLog
from app.domain.bars import Bar, bar_row, instant
from app.domain.evidence import Target
from app.domain.partials import HIGH_LOW, VOLUME, fold
from app.domain.series import NEVER
from app.errors import ConfigError
from app.explain import Explanation, explained
from app.topics import Topic
from schemas.record import RecordCodec
from schemas.registry import built_in
from tests.unit.cli.test_commands import tapeline
from tests.unit.domain.ticks import at, tick, trades, us

MINUTE_US = 60_000_000
SECOND_US = 1_000_000
BAR = Target("BTC/USD", "KRAKEN", us("10:00:00"), us("10:01:00"))


@dataclass(frozen=True)
class Message:
    """What librdkafka hands over, as far as it is asked."""

    at: int
    append_us: int
    name: bytes
    content: bytes | None

    def offset(self) -> int:
        return self.at

    def timestamp(self) -> tuple[int, int]:
        return 2, self.append_us // 1000

    def key(self) -> bytes:
        return self.name

    def value(self) -> bytes | None:
        return self.content


class MemoryLog:
    """Partition 0 of every topic; one record a second is appended, and two come at once."""

    prefix = "test."

    def __init__(self) -> None:
        self.kept: dict[str, list[Message]] = {topic.name: [] for topic in topics.ALL}
        self.first = dict.fromkeys(self.kept, 0)
        self.asked: list[tuple[str, int, int]] = []
        self._codecs = {topic: RecordCodec(topic.schema, built_in()) for topic in topics.ALL}

    def bounds(self, topic: Topic, _partition: int) -> tuple[int, int]:
        return self.first[topic.name], len(self.kept[topic.name])

    def since(self, topic: Topic, _partition: int, append_us: int) -> int:
        later = [m.at for m in self.kept[topic.name] if m.append_us >= append_us]
        return max(self.first[topic.name], later[0] if later else len(self.kept[topic.name]))

    def records(
        self, topic: Topic, _partition: int, start: int, stop: int
    ) -> Iterator[list[Message]]:
        self.asked.append((topic.name, start, stop))
        part = self.kept[topic.name][max(start, self.first[topic.name]) : stop]
        for n in range(0, len(part), 2):
            yield part[n : n + 2]

    def append(self, topic: Topic, key: str, fields: Mapping[str, Any] | bytes) -> int:
        """Append a record, or bytes that are none, and return its offset."""
        records = self.kept[topic.name]
        value = fields if isinstance(fields, bytes) else self._codecs[topic].encode(fields)
        append_us = (len(self.kept[topics.RAW.name]) + 1_000) * SECOND_US
        records.append(Message(len(records), append_us, key.encode(), value))
        return records[-1].at

    def raw(self, row: dict[str, Any]) -> int:
        """Append a raw tick."""
        return self.append(topics.RAW, row["symbol"], {k: row[k] for k in row if k != "offset"})

    def tick(self, row: dict[str, Any]) -> int:
        """Append a raw tick and the tick that was made of it."""
        published = {**row, "raw_offset": self.raw(row)}
        return self.append(topics.TICKS, row["symbol"], published)

    def letter(self, raw_offset: int, reason: str, **other: object) -> None:
        """Append the dead letter of a raw record."""
        letter = {
            "topic": "test.ticks.raw.v1", "partition": 0, "offset": raw_offset,
            "append_time": at("10:00:00"), "key": b"k", "value": b"v", "reason": reason,
            "detail": f"about {reason}", **other,
        }  # fmt: skip
        self.append(topics.DEAD_LETTERS, "k", letter)

    def late(self, row: dict[str, Any], offset: int, *, revised: bool) -> None:
        """Append the record of a late tick."""
        names = ("symbol", "venue", "event_time", "sequence", "trade_id", "price", "size")
        late = {
            **{name: row[name] for name in names}, "open_time": at("10:00:00"), "revised": revised,
            "stream_time": at("11:00:00"), "source_partition": 0, "tick_offset": offset,
        }  # fmt: skip
        self.append(topics.LATE, row["symbol"], late)


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog()


def bar(*rows: dict[str, Any], **values: Any) -> dict[str, Any]:
    """Return the bar that the core makes of some ticks, with other values if so told."""
    if rows:
        numbered = [{"offset": n, **row} for n, row in enumerate(rows)]
        [(_, made)] = fold(trades(*numbered), [NEVER], [MINUTE_US], MINUTE_US).parts
    else:
        made = Bar(BAR.open_us, None, None, None, None, None, None, 0, 0, 0, -1, -1)
    width = BAR.close_us - BAR.open_us
    fields = bar_row(made, "BTC/USD", "KRAKEN", "M1", width, partition=0, partial=False).record()
    return {**fields, "duplicates": 0, "quotes": 0, **values}


def explanation(
    log: MemoryLog, *known: dict[str, Any], limit: int = 100, **uses: Any
) -> tuple[Explanation, CountedLog]:
    counted = CountedLog(log)  # type: ignore[arg-type]
    evidence = BarEvidence(counted, built_in(), 0, BAR)
    return explained(evidence, known, limit, **uses), counted


def told(found: Explanation) -> list[tuple[int | None, int | None, str]]:
    """Return offset, raw offset and the verdict, or the codes of its reasons, of each line."""
    return [
        (x.tick.offset, x.tick.raw_offset, ",".join(r.code for r in x.reasons) or x.verdict)
        for x in found.lines
    ]


def test_only_the_offsets_that_the_bar_names_are_read(log: MemoryLog) -> None:
    for n in range(20):
        before = tick("09:50:00", trade_id=f"before {n}")
        log.late(before, log.tick(before), revised=True)
    rows = [tick(f"10:00:0{n}", str(100 + n)) for n in range(5)]
    first, *_, last = [log.tick(row) for row in rows]
    for n in range(20):
        log.tick(tick("10:05:00", trade_id=f"after {n}"))

    found, counted = explanation(log, bar(*rows, first_offset=first, last_offset=last))

    assert found.differences == {}
    assert told(found) == [(n, n, "used") for n in range(20, 25)]
    assert {(start, stop) for name, start, stop in log.asked if "late" not in name} == {(20, 25)}
    reads = {read.topic: (read.times, read.records, read.gone) for read in counted.reads}
    # Of the late ones those of the last 5 s before the first tick.
    assert reads == {"ticks.v1": (2, 10, 0), "ticks.late.v1": (1, 5, 0), "ticks.raw.v1": (1, 5, 0)}
    sizes = [len(m.key()) + len(m.value() or b"") for m in log.kept["ticks.v1"][20:25]]
    assert counted.reads[0].bytes == 2 * sum(sizes)


def test_what_became_no_tick_stands_where_it_came_with_its_reason(log: MemoryLog) -> None:
    first, last = tick("10:00:01", trade_id="1"), tick("10:00:09", trade_id="9")
    log.tick(first)
    log.raw(tick("10:00:01", "55", trade_id="1"))
    log.letter(log.append(topics.RAW, "BTC/USD", b"nonsense"), "wrong_magic")
    log.letter(log.raw(tick("10:00:02", trade_id="2", price="-1")), "bad_price")
    log.letter(log.append(topics.RAW, "ETH/USD", b"nonsense"), "wrong_magic")
    log.letter(log.raw(tick("10:07:00", trade_id="7")), "of another bar")
    log.letter(log.raw(tick(symbol="ETH/USD")), "of another series")
    log.raw(tick("10:00:03", None, None, bid=1))
    log.append(topics.RAW, "BTC/USD", b"\x00nonsense")
    log.tick(last)
    log.raw(tick("10:00:01", trade_id="1"))

    found, _ = explanation(log, bar(first, last))

    assert told(found) == [
        (0, 0, "used"), (None, 1, "duplicate"), (None, 2, "wrong_magic"), (None, 3, "bad_price"),
        (None, 8, "unknown_schema"), (1, 9, "used"),
    ]  # fmt: skip
    details = [r.detail for each in found.lines for r in each.reasons]
    assert details[:3] == [
        "of the tick at offset 0: same trade id", "about wrong_magic", "about bad_price",
    ]  # fmt: skip
    assert found.counts == {"used": 2, "refused": 4}
    assert found.reasons["duplicate"] == 1


def test_letters_are_read_from_the_time_of_the_first_to_the_one_behind_the_last(
    log: MemoryLog,
) -> None:
    for _ in range(20):
        log.letter(log.raw(tick("09:00:00")), "before")
    first, last = tick("10:00:01", trade_id="1"), tick("10:00:09", trade_id="9")
    log.tick(first)
    wrong = log.raw(tick("10:00:02", trade_id="2", price="-1"))
    log.letter(wrong, "bad_price")
    log.letter(wrong, "of another topic", topic="test.ticks.v1")
    log.letter(wrong, "of another partition", partition=1)
    log.tick(last)
    for _ in range(20):
        log.letter(log.raw(tick("11:00:00")), "after")

    found, counted = explanation(log, bar(first, last))

    assert told(found)[1] == (None, wrong, "bad_price")
    (read,) = [read for read in counted.reads if read.topic == "ticks.dlq.v1"]
    # 5 s of skew before, and the rest of the block behind.
    assert (read.start, read.records) == (14, 10)


def test_late_ticks_are_found_inside_and_behind_the_bars_offsets(log: MemoryLog) -> None:
    rows = [tick("10:00:01", trade_id="1"), tick("10:00:02", "101", trade_id="2")]
    for row in rows:
        log.tick(row)
    log.late(rows[1], 1, revised=True)
    alone = tick("10:00:03", "102", trade_id="3")
    log.late(alone, log.tick(alone), revised=False)
    log.late(tick("10:07:00"), 2, revised=False)
    log.late(tick("10:00:04", venue="COINBASE"), 2, revised=False)
    log.late(tick("10:00:05", symbol="ETH/USD"), 2, revised=False)

    found, _ = explanation(log, bar(*rows))

    assert told(found) == [(0, 0, "used"), (1, 1, "late"), (2, None, "too_late")]
    assert found.differences == {}
    assert found.lines[2].tick.price == 102


def test_the_offsets_of_earlier_revisions_hold_what_was_cancelled(log: MemoryLog) -> None:
    first, last = tick("10:00:01", "90", trade_id="1"), tick("10:00:09", trade_id="9")
    log.tick(first)
    log.tick(last)
    log.tick(tick("11:00:00", None, None, trade_id="1", action="CANCEL"))
    newest = bar(last, revision=2, first_offset=1, last_offset=1)

    found, _ = explanation(log, newest)
    assert told(found) == [(1, 1, "used")]

    found, _ = explanation(log, bar(first, last, revision=1), newest)
    assert told(found) == [(0, 0, "cancelled"), (1, 1, "used"), (2, 2, "amendment")]
    assert found.differences == {}


def test_where_a_final_bar_does_not_add_up_the_log_is_read_on(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.explain.READ_ON", 2)
    row = tick("10:00:01", "90", trade_id="1")
    log.tick(row)
    for n in range(5):
        log.tick(tick("10:05:00", trade_id=f"after {n}"))
    log.tick(tick("11:00:00", "95", trade_id="1", action="CORRECT"))
    for n in range(50):
        log.tick(tick("10:06:00", trade_id=f"later {n}"))
    corrected = bar({**row, "price": tick(price="95")["price"]}, revision=2)

    found, counted = explanation(log, corrected)

    assert told(found) == [(0, 0, "corrected"), (6, 6, "amendment")]
    reads = [(r.start, r.stop, r.times) for r in counted.reads if r.topic == "ticks.v1"]
    assert reads == [(0, 1, 3), (1, 3, 1), (3, 23, 1)]
    assert found.differences == {}
    spans = [(start, stop) for name, start, stop in log.asked if name == "ticks.v1"]
    assert spans == [(0, 1), (0, 1), (1, 3), (3, 23), (0, 1)]

    found, _ = explanation(log, bar(row, revision=1, trades=2))
    assert found.differences == {"trades": (2, 1)} | {
        name: found.differences[name] for name in found.differences if name != "trades"
    }


def test_a_later_correction_holds_over_one_among_the_bars_ticks(log: MemoryLog) -> None:
    row, other = tick("10:00:01", "90", trade_id="1"), tick("10:00:02")
    log.tick(row)
    log.tick(tick("10:00:01", "93", trade_id="1", action="CORRECT"))
    log.tick(other)
    log.tick(tick("11:00:00", "95", trade_id="1", action="CORRECT"))
    price = tick(price="95")["price"]
    corrected = bar({**row, "price": price}, other, revision=2, last_offset=2)

    found, _ = explanation(log, corrected)

    assert told(found) == [
        (0, 0, "corrected"), (2, 2, "used"), (1, 1, "superseded"), (3, 3, "amendment"),
    ]  # fmt: skip
    assert found.differences == {}


def test_a_provisional_bar_that_does_not_add_up_is_not_read_on(log: MemoryLog) -> None:
    row = tick("10:00:01", "90", trade_id="1")
    log.tick(row)
    log.tick(tick("11:00:00", "95", trade_id="1", action="CORRECT"))

    found, _ = explanation(log, bar(row, high=tick(price="95")["price"]))

    assert list(found.differences) == ["high"]
    assert {stop for name, _, stop in log.asked if name == "ticks.v1"} == {1}


def test_what_retention_removed_is_told(log: MemoryLog) -> None:
    rows = [tick(f"10:00:0{n}", str(100 + n)) for n in range(5)]
    for row in rows:
        log.tick(row)
    log.tick(tick("10:05:00"))
    log.first["ticks.raw.v1"] = 2
    whole = bar(*rows, revision=1)

    found, counted = explanation(log, whole)
    assert found.differences == {}
    assert [line for line in ending(found, counted.reads) if "gone" in line] == [
        "gone: 2 of ticks.raw.v1[0]'s 5 offsets from 0 to 4 are not kept any more"
    ]

    log.first["ticks.v1"] = 4
    log.asked.clear()
    found, counted = explanation(log, whole)
    assert found.differences["trades"] == (5, 1)
    assert "gone: 4 of ticks.v1[0]'s 5 offsets from 0 to 4 are not kept any more" in list(
        ending(found, counted.reads)
    )
    assert {stop for name, _, stop in log.asked if name == "ticks.v1"} == {5}


def test_offsets_that_the_log_has_not_reached_are_told_as_gone(log: MemoryLog) -> None:
    """The topic was deleted and made again."""
    log.tick(tick("10:00:01"))

    _, counted = explanation(log, bar(tick("10:00:01"), first_offset=0, last_offset=9))

    assert next((read.records, read.gone) for read in counted.reads) == (2, 9)


def test_a_second_publication_is_told_across_blocks(log: MemoryLog) -> None:
    rows = [tick(f"10:00:0{n}", str(100 + n)) for n in range(4)]
    for row in rows:
        log.tick(row)
    log.raw(rows[1])
    for n in (1, 2):
        log.append(topics.TICKS, "BTC/USD", {**rows[n], "raw_offset": n})
    more = tick("10:00:09")
    log.tick(more)

    found, _ = explanation(log, bar(*rows, more, last_offset=6))

    assert told(found)[3:] == [
        (3, 3, "used"), (4, 1, "repeat"), (5, 2, "repeat"), (None, 4, "duplicate"), (6, 5, "used"),
    ]  # fmt: skip
    assert found.lines[6].reasons[0].detail == "of the tick at offset 1: same content"
    assert found.differences == {}


def test_a_second_publication_at_the_end_does_not_shorten_what_is_read(log: MemoryLog) -> None:
    rows = [tick(f"10:00:0{n}", str(100 + n)) for n in range(4)]
    for row in rows:
        log.tick(row)
    log.append(topics.TICKS, "BTC/USD", {**rows[1], "raw_offset": 1})

    explanation(log, bar(*rows, last_offset=4))

    assert ("ticks.raw.v1", 0, 4) in log.asked


def test_bytes_that_are_no_tick_among_the_ticks_are_told(log: MemoryLog) -> None:
    row = tick("10:00:01")
    log.append(topics.TICKS, "BTC/USD", b"nonsense")
    log.append(topics.TICKS, "ETH/USD", b"nonsense")
    log.tick(row)

    found, _ = explanation(log, bar(row, first_offset=0, last_offset=2))

    assert told(found) == [(0, None, "wrong_magic"), (2, 0, "used")]


def test_lines_beyond_the_limit_are_counted_and_judged(log: MemoryLog) -> None:
    rows = [tick(f"10:00:0{n}", str(100 + n)) for n in range(5)]
    for row in rows:
        log.tick(row)

    found, counted = explanation(log, bar(*rows), limit=2)

    assert (len(found.lines), found.more, found.counts) == (2, 3, {"used": 5})
    assert found.differences == {}
    assert next(ending(found, counted.reads)) == "and 3 more; --limit prints them"
    assert not any("more" in text for text in ending(explanation(log, bar(*rows))[0], []))


def test_sale_conditions_are_a_table_of_the_callers(log: MemoryLog) -> None:
    row, other = tick("10:00:01", "90", conditions=["W"]), tick("10:00:02")
    log.tick(row)
    log.tick(other)
    made = bar(row, other, open=other["price"])

    assert list(explanation(log, made)[0].differences) == ["open"]

    def uses_of(codes: Sequence[str], at_us: int) -> int:
        assert at_us == (us("10:00:01") if codes else us("10:00:02"))
        return HIGH_LOW | VOLUME if codes else HIGH_LOW | VOLUME | 1

    found, _ = explanation(log, made, uses_of=uses_of)
    assert found.differences == {}
    assert told(found)[0] == (0, 0, "conditions")


def test_an_empty_bar_reads_nothing(log: MemoryLog) -> None:
    log.tick(tick("10:07:00"))

    found, counted = explanation(log, bar())

    assert (found.lines, found.differences, counted.reads) == ([], {}, [])
    assert list(ending(found, [])) == ["no ticks", "equal: the ticks used make the bar"]


def test_of_bars_v1_only_the_revisions_of_the_bar_are_taken(log: MemoryLog) -> None:
    def publish(row: dict[str, Any], key: str) -> None:
        log.append(topics.BARS, key, row)

    key = f"BTC/USD@KRAKEN|M1|{BAR.open_us}"
    publish(bar(tick(), revision=2), key)
    publish(bar(tick(), revision=1), key)
    publish(bar(tick(), revision=5), f"BTC/USD@KRAKEN|M5|{BAR.open_us}")
    publish(bar(tick(), revision=6, open_time=instant(BAR.open_us * 10)), key + "0")

    counted = CountedLog(log)  # type: ignore[arg-type]
    found = emissions(counted, built_in(), 0, BAR, "M1")

    assert [each["revision"] for each in found] == [1, 2]
    assert counted.reads[0].records == 4


def test_gaps_that_touch_the_bar_are_the_newest_of_each(log: MemoryLog) -> None:
    gap = {
        "symbol": "BTC/USD", "venue": "KRAKEN", "from_id": 5, "to_id": 6,
        "after_time": at("10:00:01"), "before_time": at("10:00:02"), "detected_at": at("10:01:00"),
        "repaired_at": None, "repaired_by": None, "source_partition": 0, "raw_offset": 1,
    }  # fmt: skip
    log.append(topics.GAPS, "BTC/USD@KRAKEN|5", gap)
    repaired = {**gap, "repaired_at": at("10:02:00"), "repaired_by": "rest"}
    log.append(topics.GAPS, "BTC/USD@KRAKEN|5", repaired)
    log.append(topics.GAPS, "BTC/USD@KRAKEN|2", {**gap, "from_id": 2})
    log.append(topics.GAPS, "BTC/USD@KRAKEN|9", {**gap, "from_id": 9, "after_time": at("10:01:00")})
    log.append(topics.GAPS, "BTC/USD@OTHER|1", {**gap, "from_id": 1})

    found = BarEvidence(CountedLog(log), built_in(), 0, BAR).gaps()  # type: ignore[arg-type]

    assert [(each["from_id"], each["repaired_by"]) for each in found] == [(2, None), (5, "rest")]
    texts = list(heading(bar(tick(), complete=False), found))
    assert texts[-2:] == [
        "gap: ids 2 to 6 missing between 2024-03-04T10:00:01Z to 2024-03-04T10:00:02Z, open",
        (
            "gap: ids 5 to 6 missing between 2024-03-04T10:00:01Z to 2024-03-04T10:00:02Z, "
            "repaired at 2024-03-04T10:02:00Z by rest"
        ),
    ]
    assert "incomplete" in texts[2]


def test_the_json_of_a_tick_and_of_the_bar(
    log: MemoryLog, capsys: pytest.CaptureFixture[str]
) -> None:
    row = tick("10:00:01", "90.50", "2", trade_id="1", sequence=3)
    log.tick(row)
    found, counted = explanation(log, bar(row, high=tick(price="95")["price"]))

    json_line(tick_fields(found.lines[0]))
    json_line(summary(bar(row), found, [], counted.reads))

    first, last = map(json.loads, capsys.readouterr().out.splitlines())
    assert first == {
        "offset": 0, "raw_offset": 0, "event_time": "2024-03-04T10:00:01Z", "sequence": 3,
        "trade_id": "1", "price": "90.5", "size": "2", "action": "NEW", "conditions": [],
        "verdict": "used", "reasons": [], "detail": "",
    }  # fmt: skip
    assert last["bar"]["open_time"] == "2024-03-04T10:00:00Z"
    assert (last["verdict"], last["counts"], last["more"]) == ("differs", {"used": 1}, 0)
    assert last["differences"] == {"high": {"bar": "95", "ticks": "90.5"}}
    assert last["read"][0] == {
        "topic": "ticks.v1", "partition": 0, "from": 0, "to": 0, "times": 2, "records": 2,
        "bytes": counted.reads[0].bytes, "gone": 0,
    }  # fmt: skip


def test_the_words_about_a_bar(log: MemoryLog) -> None:
    row = tick("10:00:01", "90.50", "2")
    log.tick(row)
    whole = bar(row, revision=1, reason="final", is_final=True, partial=True)
    found, counted = explanation(log, {**whole, "volume": tick(size="3")["size"]})

    assert list(heading(whole, [])) == [
        "BTC/USD@KRAKEN M1 2024-03-04T10:00:00Z to 2024-03-04T10:01:00Z",
        "open 90.5  high 90.5  low 90.5  close 90.5  volume 2  vwap 90.5  trades 1",
        "revision 1 (final), final, partial, late 0, duplicates 0; partition 0, offsets 0 to 0",
    ]
    size = sum(read.bytes for read in counted.reads if read.topic == "ticks.v1")
    assert list(ending(found, counted.reads))[:3] == [
        "1 used",
        "differs: volume is 3, the ticks used make 2",
        f"read ticks.v1[0] 0 to 0, 2 times: 2 records, {size} bytes",
    ]


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        (("SPY", "M1", "2023-11-14"), "series must be SYMBOL@VENUE, was 'SPY'"),
        (("SPY@NYSE", "Q1", "2023-11-14"), "timeframe must be .*, was 'Q1'"),
        (("SPY@NYSE", "M1", "noon"), "OPEN_TIME must be .*, was 'noon'"),
        (("SPY@NYSE", "M1", ""), "OPEN_TIME must be .*, was ''"),
    ],
)
def test_a_wrong_bar_or_time_is_wrong_usage(arguments: tuple[str, ...], rule: str) -> None:
    with pytest.raises(ConfigError, match=f"^{rule}$"):
        CliRunner().invoke(commands, ["explain", *arguments], catch_exceptions=False)


def test_the_help_says_what_it_does() -> None:
    page = CliRunner().invoke(commands, ["explain", "--help"])

    assert page.exit_code == 0
    assert "those that were refused" in " ".join(page.stdout.split())


def test_a_store_that_does_not_answer_is_status_1() -> None:
    done = tapeline(
        "explain", "SPY@NYSE", "M1", "2023-11-14T10:00:00Z", "--source", "hot",
        KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1", REDIS_URL="redis://127.0.0.1:1/0",
    )  # fmt: skip

    assert done.returncode == 1
    assert "Traceback" not in done.stderr
