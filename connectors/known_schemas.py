"""What a registry once answered, on disk: an id and its schema never change.

A worker that is started while the registry is down goes on with what it or another worker of the
same home has looked up.
"""

import os
from contextlib import suppress
from json import dumps, loads
from pathlib import Path
from threading import Lock
from typing import Any

from schemas.registry import Schema, current, fingerprint


class KnownSchemas:
    """Ids of our schemas, and schemas by id, of one registry.

    Args:
        file: Where they are kept; None keeps them in memory only.
        url: The registry; what another one said does not count.
    """

    def __init__(self, file: Path | None, url: str) -> None:
        self._file = file
        # Not the URL itself, which may hold a password.
        self._registry = fingerprint(url)
        self._lock = Lock()
        self._ids: dict[str, int] = {}
        self._schemas: dict[int, Schema] = {}
        self._take(self._on_disk())

    def id_of(self, name: str) -> int | None:
        """Return the id of the current schema called `name`, if it is known."""
        return self._ids.get(_version(name))

    def schema(self, schema_id: int) -> Schema | None:
        """Return the schema of an id, if it is known."""
        return self._schemas.get(schema_id)

    def remember_id(self, name: str, schema_id: int) -> None:
        """Remember the id of the current schema called `name`."""
        with self._lock:
            self._ids[_version(name)] = schema_id
            self._save()

    def remember(self, schema_id: int, schema: Schema) -> None:
        """Remember the schema of an id."""
        with self._lock:
            self._schemas[schema_id] = schema
            self._save()

    def _take(self, kept: dict[str, Any]) -> None:
        self._ids = {**kept.get("ids", {}), **self._ids}
        schemas = {int(number): schema for number, schema in kept.get("schemas", {}).items()}
        self._schemas = {**schemas, **self._schemas}

    def _on_disk(self) -> dict[str, Any]:
        with suppress(OSError, ValueError):
            kept = loads(self._file.read_text()) if self._file else {}
            if isinstance(kept, dict) and kept.get("registry") == self._registry:
                return kept
        return {}

    def _save(self) -> None:
        if self._file is None:
            return
        self._take(self._on_disk())  # other roles of this home write there, too
        kept = {"registry": self._registry, "ids": self._ids, "schemas": self._schemas}
        partial = self._file.with_suffix(f".{os.getpid()}.partial")
        with suppress(OSError):  # a full disk: it is asked again after the next restart
            partial.write_text(dumps(kept))
            partial.replace(self._file)


def _version(name: str) -> str:
    return f"{name} {fingerprint(current(name))}"
