"""Where a symbol lives: the partition every producer's murmur2 gives its key."""

from functools import lru_cache

from aiokafka.partitioner import murmur2


@lru_cache(maxsize=100_000)
def partition_of(symbol: str, partitions: int) -> int:
    """Return the partition of a key, as Java's, aiokafka's and `murmur2_random` clients do."""
    return int(murmur2(symbol.encode()) & 0x7FFFFFFF) % partitions
