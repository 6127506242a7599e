"""API keys and the audit log of the API in this process's memory, for tests and trials.

They keep the same promises as `connectors.access_postgres`, by the same contract suite, except
that they end with the process.
"""

from collections.abc import Mapping
from datetime import datetime
from threading import Lock
from typing import Any

from app.errors import StoreRejected

Row = Mapping[str, Any]


class MemoryKeyStore:
    """`app.api.access.keys.KeyStore` in memory."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, Any]] = {}
        self._lock = Lock()

    def get(self, key_id: str) -> Row | None:
        """Return the key of an id."""
        with self._lock:
            found = self._rows.get(key_id)
            return None if found is None else dict(found)

    def put(self, row: Row) -> None:
        """Keep a new key."""
        with self._lock:
            self._put(row)

    def rotate(self, row: Row, until: datetime) -> bool:
        """Keep a new key and end the one before it."""
        with self._lock:
            old = self._rows.get(row["rotated_from"])
            rotated = {each["rotated_from"] for each in self._rows.values()}
            if old is None or old["revoked_at"] is not None or old["id"] in rotated:
                return False
            self._put(row)
            ends = old["expires_at"]
            old["expires_at"] = until if ends is None else min(ends, until)
            return True

    def revoke(self, key_id: str, at: datetime) -> bool:
        """End a key."""
        with self._lock:
            if key_id not in self._rows:
                return False
            row = self._rows[key_id]
            row["revoked_at"] = row["revoked_at"] or at
            return True

    def list(self) -> list[Row]:
        """Return every key, oldest first."""
        with self._lock:
            rows = [dict(row) for row in self._rows.values()]
        return sorted(rows, key=lambda row: (row["created_at"], row["id"]))

    def is_empty(self) -> bool:
        """Return whether no key was ever made."""
        return not self._rows

    def close(self) -> None:
        """Do nothing: there is nothing to let go of."""

    def _put(self, row: Row) -> None:
        if row["id"] in self._rows:
            raise StoreRejected(f"memory: the key {row['id']} is there already")
        patterns = {name: list(row[name]) for name in ("symbols", "streams")}
        self._rows[row["id"]] = {**row, **patterns}


class MemoryAuditLog:
    """`app.api.access.audit.AuditLog` in memory."""

    def __init__(self) -> None:
        self._rows: list[Row] = []

    def append(self, row: Row) -> None:
        """Keep a row for good."""
        self._rows.append(dict(row))

    def newest(self, limit: int) -> list[Row]:
        """Return the newest rows, oldest first."""
        return [dict(row) for row in self._rows[-limit:]]

    def close(self) -> None:
        """Do nothing: there is nothing to let go of."""
