"""Topics and offsets on the broker: what is there, what should be, and how far groups have come.

`apply` brings the broker to `app.topics`: it creates what lacks and sets what differs, and
nothing else. It never changes a partition count: keys would move to other partitions, away from
their state and their earlier records.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Literal, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka import TopicPartition as Position
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from app.errors import BrokerUnavailable, TapelineError
from app.topics import Topic, TopicPartition

QUIET: Mapping[str, object] = {"log_level": 0, "error_cb": lambda _error: None}
"""librdkafka settings for programs whose standard error is read by people: errors are raised."""


class TopicRefused(TapelineError):
    """A topic cannot be what it should be without losing something."""


class Difference(NamedTuple):
    """One topic that is not as it should be.

    Attributes:
        topic: Its name on the broker.
        action: `create` and `configure` are what `apply` does; it refuses `repartition`.
        detail: What differs, in words.
        settings: The broker settings to write.
    """

    topic: str
    action: Literal["create", "configure", "repartition"]
    detail: str
    settings: Mapping[str, str]


class Lag(NamedTuple):
    """How far one group has come in one partition; `committed` is -1 before its first commit."""

    group: str
    topic: str
    partition: int
    committed: int
    end: int

    @property
    def records(self) -> int:
        """Records not yet read, or read and not yet committed."""
        return self.end - max(self.committed, 0)


class KafkaAdmin:
    """The administration of one cluster.

    Args:
        client: librdkafka settings that reach the broker.
        prefix: Put before every topic's name.
        timeout_s: Longest wait for each answer.
    """

    def __init__(
        self, client: Mapping[str, object], prefix: str = "", timeout_s: float = 15.0
    ) -> None:
        self._where = str(client.get("bootstrap.servers", ""))
        self._client = dict(client)
        self._admin = AdminClient({**client, **QUIET})
        self._members: dict[str, Consumer] = {}
        self._prefix = prefix
        self._timeout_s = timeout_s

    def brokers(self) -> list[str]:
        """Return ``host:port`` of every broker that is there."""
        found = self._asked(lambda: self._admin.list_topics(timeout=self._timeout_s)).brokers
        return sorted(f"{broker.host}:{broker.port}" for broker in found.values())

    def partitions(self) -> dict[str, int]:
        """Return the partition count of every topic with the prefix."""
        found = self._asked(lambda: self._admin.list_topics(timeout=self._timeout_s)).topics
        return {
            name: len(topic.partitions)
            for name, topic in found.items()
            if name.startswith(self._prefix)
        }

    def diff(self, wanted: Iterable[Topic], partitions: int) -> list[Difference]:
        """Return what `apply` would have to do, in the order of `wanted`."""
        counts = self.partitions()
        by_name = {self._prefix + topic.name: topic for topic in wanted}
        configs = self._configs([name for name in by_name if name in counts])
        found = (
            _difference(name, topic, partitions, counts.get(name), configs.get(name, {}))
            for name, topic in by_name.items()
        )
        return [difference for difference in found if difference is not None]

    def apply(
        self, wanted: Iterable[Topic], partitions: int, replication: int = 1
    ) -> list[Difference]:
        """Create and configure what differs, and return what was done.

        Raises:
            TopicRefused: A topic has another partition count; nothing was changed.
        """
        todo = self.diff(wanted, partitions)
        refused = [each.detail for each in todo if each.action == "repartition"]
        if refused:
            raise TopicRefused(
                "; ".join(refused) + ". A symbol would move to another partition, away from its "
                "state and its earlier records: keep TAPELINE_PARTITIONS as it is, or replay into "
                "topics of another TAPELINE_TOPIC_PREFIX"
            )
        for each in todo:
            if each.action == "create":
                self._create(each, partitions, replication)
            else:
                self._configure(each)
        return todo

    def delete(self, names: Sequence[str]) -> None:
        """Delete topics by their whole names; a missing one is no error."""
        if names:
            for future in self._admin.delete_topics(list(names)).values():
                self._answer(future, KafkaError.UNKNOWN_TOPIC_OR_PART)

    def ends(self, topics: Iterable[str], *, first: bool = False) -> dict[TopicPartition, int]:
        """Return the next offset of every partition of `topics` (whole names) that is there.

        Args:
            topics: Names on the broker.
            first: Return the oldest offset that is kept instead.
        """
        counts = self.partitions()
        spec = OffsetSpec.earliest() if first else OffsetSpec.latest()
        wanted = {Position(t, p): spec for t in topics for p in range(counts.get(t, 0))}
        if not wanted:
            return {}
        answers = self._asked(lambda: self._admin.list_offsets(wanted))
        return {
            TopicPartition(at.topic, at.partition): self._answer(future).offset
            for at, future in answers.items()
        }

    def lag(
        self,
        groups: Mapping[str, Iterable[str]],
        *,
        ends: Mapping[TopicPartition, int] | None = None,
    ) -> list[Lag]:
        """Return how far each group has come in every partition of the topics it reads.

        Args:
            groups: Topics on the broker by consumer group.
            ends: What `ends` has said of these topics; None asks it.
        """
        if ends is None:
            ends = self.ends({topic for topics in groups.values() for topic in topics})
        return [each for group, topics in groups.items() for each in self._lag(group, topics, ends)]

    def _lag(
        self, group: str, topics: Iterable[str], ends: Mapping[TopicPartition, int]
    ) -> list[Lag]:
        wanted = set(topics)
        asked = [Position(*at) for at in sorted(ends) if at.topic in wanted]
        if not asked:
            return []
        found = self._asked(lambda: self._member(group).committed(asked, timeout=self._timeout_s))
        return [
            Lag(group, *place, max(at.offset, -1), ends[place])
            for at in found
            for place in [TopicPartition(at.topic, at.partition)]
        ]

    def _member(self, group: str) -> Consumer:
        """Return a consumer that names a group and never joins it, to ask for its commits.

        librdkafka's admin client has no group of its own, and ends the process when the answer
        says that the coordinator is another (2.16: rd_kafka_handle_OffsetFetch).
        """
        if group not in self._members:
            settings = {**self._client, **QUIET, "group.id": group, "enable.auto.commit": False}
            self._members[group] = Consumer(settings)
        return self._members[group]

    def _create(self, new: Difference, partitions: int, replication: int) -> None:
        topic = NewTopic(new.topic, partitions, replication, config=dict(new.settings))
        future = self._admin.create_topics([topic])[new.topic]
        self._answer(future, KafkaError.TOPIC_ALREADY_EXISTS)

    def _configure(self, changed: Difference) -> None:
        entries = [
            ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
            for name, value in changed.settings.items()
        ]
        resource = ConfigResource(
            ResourceType.TOPIC, changed.topic, incremental_configs=entries
        )  # fmt: skip
        self._answer(self._admin.incremental_alter_configs([resource])[resource])

    def _configs(self, names: Sequence[str]) -> dict[str, dict[str, str]]:
        if not names:
            return {}
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
        answers = self._asked(lambda: self._admin.describe_configs(resources))
        return {
            resource.name: {name: entry.value for name, entry in self._answer(future).items()}
            for resource, future in answers.items()
        }

    def _asked(self, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except KafkaException as error:
            raise BrokerUnavailable(f"Kafka at {self._where}: {_text(error)}") from error

    def _answer(self, future: Future[Any], *allowed: int) -> Any:
        try:
            return future.result(self._timeout_s)
        except KafkaException as error:
            if error.args[0].code() in allowed:
                return None
            raise BrokerUnavailable(f"Kafka at {self._where}: {_text(error)}") from error
        except TimeoutError as error:
            message = f"Kafka at {self._where} did not answer within {self._timeout_s:g} s"
            raise BrokerUnavailable(message) from error


def _difference(
    name: str, topic: Topic, partitions: int, count: int | None, config: Mapping[str, str]
) -> Difference | None:
    if count is None:
        return Difference(name, "create", f"{name} is missing", topic.config())
    if count != partitions:
        detail = f"{name} must have {partitions} partitions, had {count}"
        return Difference(name, "repartition", detail, {})
    changed = {k: v for k, v in topic.config().items() if not _same(config.get(k), v)}
    if not changed:
        return None
    words = ", ".join(f"{k} must be {v}, was {config.get(k)}" for k, v in changed.items())
    return Difference(name, "configure", f"{name}: {words}", changed)


def _same(found: str | None, wanted: str) -> bool:
    try:
        return found is not None and float(found) == float(wanted)
    except ValueError:
        return found == wanted


def _text(error: KafkaException) -> str:
    cause = error.args[0]
    return str(cause.str()) if isinstance(cause, KafkaError) else str(cause)
