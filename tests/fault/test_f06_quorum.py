"""F6: of three brokers, a leader of ticks.raw.v1 is killed, and then the controller."""

import time

import pytest
from confluent_kafka.admin import AdminClient, TopicMetadata

from tests.fault.cluster import Broker, Cluster
from tests.fault.conftest import MakeCluster, MakeTrial
from tests.fault.trial import WORKERS
from tests.live.world import wait_until

pytestmark = [pytest.mark.fault, pytest.mark.timeout(600)]

RATE = 500
DOWN_S = (3.0, 8.0)
IN_SYNC_WITHIN_S = 90.0


def test_a_leader_and_the_controller_killed_in_turn_lose_nothing(
    make_cluster: MakeCluster, make_trial: MakeTrial
) -> None:
    cluster = make_cluster(3)
    trial = make_trial(cluster)
    raw = f"{trial.world.prefix}ticks.raw.v1"
    for worker in [trial.world.start(role, is_kept=True) for role in WORKERS]:
        worker.wait_ready()
    with trial.flow(rate=RATE) as flow:
        for _ in range(2):
            for of_whom in ("leader", "controller"):
                flow.wait_s(1)
                broker = (
                    leader(cluster, raw, trial.dice.randrange(trial.world.outside.partitions))
                    if of_whom == "leader"
                    else cluster.controller()
                )
                broker.kill()
                time.sleep(trial.dice.uniform(*DOWN_S))
                broker.start()
                wait_until(lambda: in_sync(cluster), IN_SYNC_WITHIN_S, "all copies are in sync")
    trial.line.note(kills=4, ticks=flow.sent)
    trial.judge(replay=True)


def metadata(cluster: Cluster) -> dict[str, TopicMetadata]:
    """Return what the brokers say of all topics."""
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    topics: dict[str, TopicMetadata] = admin.list_topics(timeout=20).topics
    return topics


def leader(cluster: Cluster, topic: str, partition: int) -> Broker:
    """Return the broker that leads a partition."""
    return cluster.broker(metadata(cluster)[topic].partitions[partition].leader)


def in_sync(cluster: Cluster) -> bool:
    """Return whether every partition of every topic has all its copies."""
    partitions = [p for topic in metadata(cluster).values() for p in topic.partitions.values()]
    assert all(len(p.replicas) == cluster.replication for p in partitions), "not all are copied"
    return all(len(p.isrs) == cluster.replication for p in partitions)
