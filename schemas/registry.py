"""Which schema an id names: the port, and the registry built in.

The built-in one reads `manifest.json`: ids are committed, so nothing is looked up at run time.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Protocol

Schema = dict[str, Any]

_DOCUMENTATION = frozenset({"doc", "aliases", "order"})


class UnknownId(LookupError):
    """No schema of that id is registered."""


class UnansweredId(UnknownId):
    """The registry does not answer; whether it has the id is not known."""


class Registry(Protocol):
    """Ids and schemas of the records on the wire."""

    def id_of(self, name: str) -> int:
        """Return the id that records called `name` are written with."""

    def writer(self, schema_id: int) -> Schema:
        """Return the schema of an id.

        Raises:
            UnknownId: The registry answered that it has none.
            UnansweredId: It did not answer for as long as a record may wait.
        """


@dataclass(frozen=True, slots=True)
class Version:
    """One published version of a schema.

    Attributes:
        name: The record, as in ``schemas/<name>.avsc``.
        version: Counted from 1.
        id: What the built-in registry calls it on the wire.
        file: Its text, relative to `schemas`.
        sha256: Of the canonical form; a published version never changes.
    """

    name: str
    version: int
    id: int
    file: str
    sha256: str

    def schema(self) -> Schema:
        """Return the schema as published."""
        return _read(self.file)


class BuiltIn:
    """The registry committed with the source."""

    def __init__(self, versions: tuple[Version, ...]) -> None:
        newest = sorted(versions, key=lambda version: version.version)
        self._ids = {version.name: version.id for version in newest}
        self._schemas = {version.id: version.schema() for version in versions}

    def id_of(self, name: str) -> int:
        """Return the id of the newest version of `name`."""
        return self._ids[name]

    def writer(self, schema_id: int) -> Schema:
        """Return the schema of an id."""
        try:
            return self._schemas[schema_id]
        except KeyError:
            raise UnknownId(f"schema id must be in the manifest, was {schema_id}") from None


@cache
def built_in() -> BuiltIn:
    """Return the registry of `manifest.json`."""
    return BuiltIn(published())


@cache
def published() -> tuple[Version, ...]:
    """Return every version in the manifest, in its order."""
    manifest = json.loads((files("schemas") / "manifest.json").read_text())
    return tuple(Version(**entry) for entry in manifest)


def names() -> list[str]:
    """Return the names of all records, sorted."""
    return sorted({version.name for version in published()})


@cache
def current(name: str) -> Schema:
    """Return the schema that records called `name` are read as; not to be changed."""
    return _read(f"{name}.avsc")


def canonical(schema: object) -> str:
    """Return what of a schema decides about bytes and values, without documentation.

    Unlike Avro's parsing canonical form it keeps logical types and defaults.
    """
    return json.dumps(_bare(schema), sort_keys=True, separators=(",", ":"))


def fingerprint(schema: object) -> str:
    """Return the SHA-256 of the canonical form, in hex."""
    return hashlib.sha256(canonical(schema).encode()).hexdigest()


def full_name(schema: Mapping[str, Any]) -> str:
    """Return the record's name with its namespace."""
    name = str(schema.get("name", ""))
    return name if "." in name else f"{schema.get('namespace', '')}.{name}"


def _read(file: str) -> Schema:
    found: Schema = json.loads((files("schemas") / file).read_text())
    return found


def _bare(schema: object) -> object:
    if isinstance(schema, dict):
        # A default is a value, not a schema: it is kept as it stands.
        return {
            key: value if key == "default" else _bare(value)
            for key, value in schema.items()
            if key not in _DOCUMENTATION
        }
    return [_bare(part) for part in schema] if isinstance(schema, list) else schema
