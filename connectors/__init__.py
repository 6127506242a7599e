"""The edges: stores, registry, producer, feeds, each behind a port with one contract."""
