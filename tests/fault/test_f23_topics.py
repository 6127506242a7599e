"""F23: a topic is not what it was: other partitions, deleted, made again, or older than we are."""

from collections.abc import Callable

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions

from app import topics
from app.partitions import partition_of
from connectors.kafka_admin import KafkaAdmin
from tests.fault.conftest import MakeTrial
from tests.fault.trial import SYMBOLS, Trial
from tests.live.outside import Fields, Record, decode
from tests.live.recompute import recompute
from tests.live.world import Worker, wait_until

pytestmark = [pytest.mark.fault, pytest.mark.timeout(180)]

RAW, TICKS, BARS = topics.RAW.name, topics.TICKS.name, topics.BARS.name
VALUES = ("open", "high", "low", "close", "volume", "notional", "vwap", "trades", "close_time")
COUNT = 4_000
RATE = 4_000
DETECTED_WITHIN_S = 60.0
REFUSED = 2
"""Exit status of what no restart mends."""


@pytest.fixture
def trial(make_trial: MakeTrial) -> Trial:
    return make_trial()


def admin(trial: Trial) -> AdminClient:
    return AdminClient({"bootstrap.servers": trial.world.stack.kafka})


def repartition(trial: Trial, topic: str) -> None:
    name = trial.world.prefix + topic
    client = admin(trial)
    client.create_partitions([NewPartitions(name, 6)])[name].result(20)


def delete(trial: Trial, topic: str) -> None:
    KafkaAdmin({"bootstrap.servers": trial.world.stack.kafka}).delete([trial.world.prefix + topic])


def make_again(trial: Trial, topic: str) -> None:
    client = KafkaAdmin({"bootstrap.servers": trial.world.stack.kafka}, trial.world.prefix)
    found = next(each for each in topics.ALL if each.name == topic)

    def is_there() -> bool:
        client.apply([found], trial.world.outside.partitions)
        return client.partitions().get(trial.world.prefix + topic) is not None

    wait_until(is_there, 20, f"{topic} is there again")


def worked(trial: Trial) -> Worker:
    """Return a compute worker that has done all there was to do, rightly."""
    (compute, *_) = trial.world.started("compute", "hot", "warm")
    with trial.flow(trial.ticks(COUNT), RATE):
        pass
    trial.judge()
    return compute


def require_refusal(trial: Trial, worker: Worker, topic: str, advice: str) -> None:
    """Wait until it ends: with an error that names the topic and says what to do."""
    ended = wait_until(lambda: worker.process.poll() is not None, DETECTED_WITHIN_S,
                       f"a worker that refuses {topic} ends")  # fmt: skip
    said = worker.tail()
    assert worker.process.returncode > 0, said
    assert trial.world.prefix + topic in said, said
    assert advice in said, said
    trial.line.note(detected_s=round(ended, 1), status=worker.process.returncode)


def require_homes(trial: Trial) -> None:
    """No symbol is anywhere but at its home: nothing was written to a partition that is not."""
    outside = trial.world.outside
    faults = [
        f"{tick['symbol']} is in partition {record.partition}"
        for record, tick in outside.decoded(TICKS)
        if record.partition != partition_of(tick["symbol"], outside.partitions)
    ]
    trial.line.judged("I2", faults)
    assert not faults, faults[:3]


@pytest.mark.parametrize("topic", [RAW, TICKS, BARS])
@pytest.mark.parametrize(
    ("harm", "advice"),
    [(repartition, "TAPELINE_TOPIC_PREFIX"), (delete, "tapeline topics apply")],
    ids=["more partitions", "deleted"],
)
def test_a_start_is_refused(
    trial: Trial, topic: str, harm: Callable[[Trial, str], None], advice: str
) -> None:
    harm(trial, topic)
    worker = trial.world.start("compute")

    require_refusal(trial, worker, topic, advice)
    assert worker.process.returncode == REFUSED


@pytest.mark.parametrize("topic", [RAW, TICKS, BARS])
@pytest.mark.parametrize(
    ("harm", "advice"),
    [(repartition, "TAPELINE_TOPIC_PREFIX"), (delete, "tapeline topics apply")],
    ids=["more partitions", "deleted"],
)
def test_a_running_worker_refuses_to_go_on(
    trial: Trial, topic: str, harm: Callable[[Trial, str], None], advice: str
) -> None:
    """Nothing wrong is written: nothing at all, or all of it where it belongs."""
    compute = worked(trial)
    harm(trial, topic)
    if topic != RAW or harm is repartition:
        with trial.flow(trial.ticks(COUNT, poisoned=0), RATE):
            pass

    require_refusal(trial, compute, topic, advice)
    if topic != TICKS or harm is repartition:
        require_homes(trial)


@pytest.mark.parametrize("runs", [True, False], ids=["running", "stopped"])
def test_a_topic_made_again_is_not_taken_for_the_old_one(trial: Trial, *, runs: bool) -> None:
    """Its offsets begin at 0 again: read on, or skipped up to the old ones, ticks would be lost."""
    compute = worked(trial)
    if not runs:
        assert compute.terminate() == 0
    delete(trial, RAW)
    make_again(trial, RAW)
    with trial.flow(trial.ticks(COUNT // 4, poisoned=0), RATE):
        pass
    if not runs:
        compute = trial.world.start("compute")

    require_refusal(trial, compute, RAW, "infra/runbooks.md")
    require_homes(trial)


def test_what_retention_took_is_an_error_and_the_rest_is_exact(trial: Trial) -> None:
    #  log:   [ read and committed ][ taken by retention ][ what is left ]
    outside = trial.world.outside
    compute = worked(trial)
    assert compute.terminate() == 0
    committed = outside.committed("tapeline-compute", RAW)
    with trial.flow(trial.ticks(COUNT, poisoned=0), RATE):
        pass
    log = {(r.partition, r.offset): r for r in outside.log(RAW)}
    firsts = {p: committed[p] + (end - committed[p]) // 2 for p, end in outside.ends(RAW).items()}
    name = trial.world.prefix + RAW
    client = admin(trial)
    for future in client.delete_records(
        [TopicPartition(name, p, first) for p, first in firsts.items()]
    ).values():  # fmt: skip
        future.result(20)
    (compute,) = trial.world.started("compute")
    trial.line.recovered(trial.world.settle())

    said = compute.tail()
    for partition, first in firsts.items():
        if first > committed[partition]:
            errors = [line for line in said.splitlines() if "records lost to retention" in line]
            assert any(
                "level='error'" in line and name in line and f"partition={partition} " in line
                for line in errors
            ), said
    left = {
        at: record for at, record in log.items() if not committed[at[0]] <= at[1] < firsts[at[0]]
    }
    accepted = list(outside.decoded(TICKS))
    _require_all_of(trial, left, accepted)
    _require_bars_of(trial, accepted)
    assert {symbol.encode() for symbol in SYMBOLS} == {record.key for record, _ in accepted}


def _require_all_of(
    trial: Trial, left: dict[tuple[int, int], Record], accepted: list[tuple[Record, Fields]]
) -> None:
    """I1: of what is left, every unique tick is accepted once, and nothing else is."""

    def name(tick: Fields) -> tuple[object, ...]:
        return tick["venue"], tick["symbol"], tick["trade_id"], tick["sequence"]

    wanted = {
        name(decode("tick", record.value))
        for record in left.values()
        if (record.key, record.value) not in trial.poison
    }
    found = [name(tick) for _, tick in accepted]
    faults = [f"{each} was lost" for each in wanted - set(found)]
    faults += [f"{each} was taken by retention" for each in set(found) - wanted]
    faults += ["some are there twice"] * (len(set(found)) != len(found))
    trial.line.judged("I1", faults, left=len(wanted), accepted=len(found))
    assert not faults, faults[:3]


def _require_bars_of(trial: Trial, accepted: list[tuple[Record, Fields]]) -> None:
    """I2: the newest emission of every bar is what the accepted ticks make."""
    newest: dict[object, Fields] = {}
    for record, bar in trial.world.outside.decoded(BARS):
        newest[record.key] = bar
    faults = []
    for (symbol, venue, timeframe, open_time), right in recompute(accepted).items():
        bar = newest.get(f"{symbol}@{venue}|{timeframe}|{open_time}".encode(), {})
        if wrong := [value for value in VALUES if bar.get(value) != right[value]]:
            faults.append(f"{symbol}@{venue} {timeframe} {open_time}: {wrong}")
    trial.line.judged("I2", faults, bars=len(newest))
    assert not faults, faults[:3]
