"""``python -m tests.bench.worker_on_aiokafka ROLE``: a worker whose blocks come from aiokafka."""

from app import compose, worker
from tests.bench.aiokafka_source import AiokafkaSource

if __name__ == "__main__":
    setattr(compose, "Source", AiokafkaSource)  # noqa: B010 - a type checker knows better
    worker.main()
