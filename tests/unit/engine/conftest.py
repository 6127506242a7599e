from collections.abc import Iterator

import pytest

from tests.unit.engine.mock_kafka import MockKafka


@pytest.fixture(scope="module")
def kafka() -> Iterator[MockKafka]:
    broker = MockKafka()
    yield broker
    broker.close()
