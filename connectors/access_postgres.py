"""API keys and the audit log of the API on Postgres 15, with or without TimescaleDB."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from psycopg.rows import dict_row

from connectors.postgres import Connection, Connections

Row = Mapping[str, Any]

KEY_COLUMNS = (
    "id", "name", "role", "secret_hash", "created_at", "symbols", "streams", "expires_at",
    "revoked_at", "rotated_from",
)  # fmt: skip
AUDIT_COLUMNS = (
    "call_id", "phase", "at", "name", "role", "kind", "key_id", "method", "path", "query",
    "body_sha256", "body", "status", "client", "request_id",
)  # fmt: skip
KEYS, ENTRIES = ", ".join(KEY_COLUMNS), ", ".join(AUDIT_COLUMNS)


def _insert(table: str, columns: tuple[str, ...]) -> str:
    values = ", ".join(f"%({name})s" for name in columns)
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({values})"  # noqa: S608 - constants


INSERT_KEY, INSERT_ENTRY = _insert("api_keys", KEY_COLUMNS), _insert("api_audit", AUDIT_COLUMNS)
FIND_KEY = f"SELECT {KEYS} FROM api_keys WHERE id = %s"  # noqa: S608 - constants
LIST_KEYS = f"SELECT {KEYS} FROM api_keys ORDER BY created_at, id"  # noqa: S608 - constants
IS_EMPTY = "SELECT NOT EXISTS (SELECT FROM api_keys) AS is_empty"
REVOKE = "UPDATE api_keys SET revoked_at = coalesce(revoked_at, %s) WHERE id = %s RETURNING id"
LOCK = "SELECT id FROM api_keys WHERE id = %s AND revoked_at IS NULL FOR UPDATE"
HAS_SUCCESSOR = "SELECT id FROM api_keys WHERE rotated_from = %s"
END = "UPDATE api_keys SET expires_at = least(expires_at, %s) WHERE id = %s"
"""least() leaves nulls out."""
NEWEST = f"""
SELECT {ENTRIES} FROM (SELECT * FROM api_audit ORDER BY entry DESC LIMIT %s) AS newest
ORDER BY entry
"""  # noqa: S608 - constants


class PostgresKeyStore:
    """`app.api.access.keys.KeyStore` on a database that was migrated."""

    def __init__(self, url: str, **timeouts: Any) -> None:
        """Connects on first use.

        Args:
            url: A libpq URL.
            timeouts: See `Connections`.
        """
        self._connections = Connections(url, **timeouts)

    def get(self, key_id: str) -> Row | None:
        """Return the key of an id."""
        with self._connections.transaction() as connection:
            return next(iter(_rows(connection, FIND_KEY, (key_id,))), None)

    def put(self, row: Row) -> None:
        """Keep a new key."""
        with self._connections.transaction() as connection:
            connection.execute(INSERT_KEY, _values(row))

    def rotate(self, row: Row, until: datetime) -> bool:
        """Keep a new key and end the one before it."""
        old = row["rotated_from"]
        with self._connections.transaction() as connection:
            # Two that rotate one key: the second waits here, and then sees the first's successor.
            if not _rows(connection, LOCK, (old,)) or _rows(connection, HAS_SUCCESSOR, (old,)):
                return False
            connection.execute(END, (until, old))
            connection.execute(INSERT_KEY, _values(row))
            return True

    def revoke(self, key_id: str, at: datetime) -> bool:
        """End a key."""
        with self._connections.transaction() as connection:
            return bool(_rows(connection, REVOKE, (at, key_id)))

    def list(self) -> list[Row]:
        """Return every key, oldest first."""
        with self._connections.transaction() as connection:
            return _rows(connection, LIST_KEYS)

    def is_empty(self) -> bool:
        """Return whether no key was ever made."""
        with self._connections.transaction() as connection:
            return bool(_rows(connection, IS_EMPTY)[0]["is_empty"])

    def close(self) -> None:
        """Close the connections that idle."""
        self._connections.close()


class PostgresAuditLog:
    """`app.api.access.audit.AuditLog` on a database that was migrated."""

    def __init__(self, url: str, **timeouts: Any) -> None:
        """Connects on first use; see `PostgresKeyStore`."""
        self._connections = Connections(url, **timeouts)

    def append(self, row: Row) -> None:
        """Keep a row for good."""
        with self._connections.transaction() as connection:
            connection.execute(INSERT_ENTRY, row)

    def newest(self, limit: int) -> list[Row]:
        """Return the newest rows, oldest first."""
        with self._connections.transaction() as connection:
            return _rows(connection, NEWEST, (limit,))

    def close(self) -> None:
        """Close the connections that idle."""
        self._connections.close()


def _rows(connection: Connection, query: str, values: tuple[Any, ...] = ()) -> list[Row]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return list(cursor.execute(query.encode(), values).fetchall())


def _values(row: Row) -> Row:
    return {**row, "symbols": list(row["symbols"]), "streams": list(row["streams"])}
