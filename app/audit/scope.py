"""What is audited, and the database in which."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

MEMORY = "512MB"
"""Of DuckDB; beyond it goes to disk."""


@dataclass(frozen=True)
class Scope:
    """What is audited.

    Attributes:
        is_full: Everything there is, with digests of the stores.
        start_us: Judge the bars that open from then on.
        end_us: And before then.
        has_stores: Whether Redis and Postgres are judged, too.
    """

    is_full: bool = False
    start_us: int | None = None
    end_us: int | None = None
    has_stores: bool = True

    @property
    def is_span(self) -> bool:
        """Whether the bars of a span of time are asked for."""
        return self.start_us is not None or self.end_us is not None

    def within(self) -> str:
        """Return the condition that a bar is asked for."""
        start, end = self.start_us, self.end_us
        parts = ["true" if start is None else f"open_us >= {start}",
                 "true" if end is None else f"open_us < {end}"]  # fmt: skip
        return " AND ".join(parts)


@contextmanager
def database() -> Iterator[duckdb.DuckDBPyConnection]:
    """Return an empty database in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="tapeline-audit-") as folder:
        db = duckdb.connect(str(Path(folder) / "audit.duckdb"))
        try:
            db.execute(f"SET memory_limit = '{MEMORY}'")
            db.execute("SET threads = 2")
            db.execute("SET preserve_insertion_order = false")
            db.execute("SET TimeZone = 'UTC'")
            yield db
        finally:
            db.close()
