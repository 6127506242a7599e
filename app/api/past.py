"""What was in a stream between a client's token and now, read from its topic."""

from collections.abc import Iterator

from app.api.feed import update_of
from app.api.reading import Reading
from app.api.streams import Stream, Update
from app.log_reader import LogReader

MOST_RECORDS = 200_000
"""Of a partition, read to find one client's."""
MOST_FOUND = 10_000
"""Of one stream; a client gets the rest from the history."""


class TooFar(Exception):
    """The token is too old, or what came after it was deleted: a snapshot has to do."""


class Past:
    """Reads topics back.

    Args:
        reader: Reads ranges of them.
        reading: How their values are read.
    """

    def __init__(self, reader: LogReader, reading: Reading) -> None:
        self._reader = reader
        self._reading = reading

    def between(self, stream: Stream, partition: int, start: int, stop: int) -> list[Update]:
        """Return the updates of a stream at the offsets [start, stop), in their order.

        Raises:
            TooFar: There are too many records, or the first ones are gone.
            BrokerUnavailable: Kafka does not answer.
        """
        if start >= stop:
            return []
        topic = stream.noun.topic
        low, _ = self._reader.bounds(topic, partition)
        # Compaction takes only what a newer record of the same key replaces.
        if (low > start and not stream.noun.is_newest_only) or stop - start > MOST_RECORDS:
            raise TooFar
        found = list(self._found(stream, partition, start, stop))
        if len(found) > MOST_FOUND:
            raise TooFar
        return found

    def _found(self, stream: Stream, partition: int, start: int, stop: int) -> Iterator[Update]:
        symbol = stream.symbol.encode()
        # Keys of ticks and anomalies are the symbol, those of bars and quotes begin with it.
        for messages in self._reader.records(stream.noun.topic, partition, start, stop):
            for message in messages:
                if (message.key() or b"").startswith(symbol) and message.value() is not None:
                    update = update_of(self._reading, stream.noun, message)
                    if update.stream == stream.name:
                        yield update
