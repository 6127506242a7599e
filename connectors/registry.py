"""A Confluent-compatible schema registry by URL, or the one built in.

An id and its schema never change, so what was once looked up is kept and works on while the
registry is down. Services only look up; `register` is for the command that releases schemas.
"""

from collections.abc import Callable, Iterable
from json import dumps, loads
from time import monotonic
from typing import Any, NamedTuple

import httpx

from app import topics
from app.errors import RegistryError, RegistryUnavailable, UnknownSchema
from app.topics import Topic
from schemas.registry import Registry, Schema, UnknownId, built_in, current

MEDIA_TYPE = "application/vnd.schemaregistry.v1+json"
COMPATIBILITY = "FULL_TRANSITIVE"
UNKNOWN_FOR_S = 30.0
"""How long an id stays unknown before the registry is asked again: poison repeats itself."""
MOST_UNKNOWN = 10_000


class UnregisteredId(UnknownSchema, UnknownId):
    """The registry answered that it has no such id, or none of Avro."""


class SchemaRefused(RegistryError):
    """The registry refuses a schema, as incompatible with an earlier version."""


class Registered(NamedTuple):
    """A schema in the registry.

    Attributes:
        subject: ``<topic>-value``.
        id: What stands on the wire.
    """

    subject: str
    id: int


def open_registry(url: str) -> Registry:
    """Return the registry at `url`; the one built in when it is empty."""
    return ConfluentRegistry(url) if url else built_in()


class ConfluentRegistry:
    """`schemas.registry.Registry` on a server; safe to call from several threads."""

    def __init__(
        self, url: str, *, timeout_s: float = 5.0, clock: Callable[[], float] = monotonic
    ) -> None:
        """Connects on first use.

        Args:
            url: Of the API, such as ``http://127.0.0.1:8080/apis/ccompat/v7``; a user and
                password in it are sent as basic authentication.
            timeout_s: Longest wait for a connection and for each answer.
            clock: Seconds that only grow.
        """
        headers = {"Accept": MEDIA_TYPE, "Content-Type": MEDIA_TYPE}
        self._http = httpx.Client(base_url=url, timeout=timeout_s, headers=headers)
        # Not httpx's own text of a URL, which may show a password.
        self._where = f"schema registry at {httpx.URL(url).host}"
        self._clock = clock
        self._ids: dict[str, int] = {}
        self._schemas: dict[int, Schema] = {}
        self._unknown: dict[int, float] = {}

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def id_of(self, name: str) -> int:
        """Return the id of the current schema called `name`.

        Raises:
            UnknownSchema: It is not registered.
            RegistryUnavailable: No answer.
        """
        if name not in self._ids:
            subject = subject_of(next(topic for topic in topics.ALL if topic.schema == name))
            path = f"/subjects/{subject}?normalize=true"
            found = self._ask("POST", path, {"schema": dumps(current(name))})
            if found is None:
                rule = "must be registered, see `tapeline schemas register`"
                raise UnknownSchema(f"{name} {rule}, is not in {subject}")
            self._ids[name] = int(found["id"])
        return self._ids[name]

    def writer(self, schema_id: int) -> Schema:
        """Return the schema of an id.

        Raises:
            UnregisteredId: The registry has no Avro schema of that id.
            RegistryUnavailable: No answer, and the id was not asked for before.
        """
        if schema_id in self._schemas:
            return self._schemas[schema_id]
        if self._unknown.get(schema_id, 0.0) > self._clock():
            raise UnregisteredId(f"schema id must be registered, was {schema_id}")
        found = self._ask("GET", f"/schemas/ids/{schema_id}")
        schema = _avro_record(found)
        if schema is None:
            if len(self._unknown) >= MOST_UNKNOWN:
                self._unknown.clear()
            self._unknown[schema_id] = self._clock() + UNKNOWN_FOR_S
            raise UnregisteredId(f"schema id must be an Avro record's, was {schema_id}")
        self._schemas[schema_id] = schema
        return schema

    def register(self, flow: Iterable[Topic] = topics.ALL) -> list[Registered]:
        """Register the current schema of every topic, and the rule for its later versions.

        A schema that is registered already keeps its id.

        Raises:
            SchemaRefused: A schema is incompatible with a version in the registry.
            RegistryUnavailable: No answer.
        """
        done = []
        for topic in flow:
            subject = subject_of(topic)
            self._ask("PUT", f"/config/{subject}", {"compatibility": COMPATIBILITY})
            schema = {"schema": dumps(current(topic.schema))}
            found = self._ask("POST", f"/subjects/{subject}/versions", schema)
            if found is None:
                raise SchemaRefused(
                    f"{self._where} must take versions of {subject}, has no such path"
                )
            done.append(Registered(subject, int(found["id"])))
        return done

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        """Return the answer, or None for a 404."""
        try:
            answer = self._http.request(method, path, content=dumps(body) if body else None)
        except httpx.HTTPError as error:
            raise RegistryUnavailable(f"{self._where} must answer: {error!r}") from error
        match answer.status_code:
            case httpx.codes.NOT_FOUND:
                return None
            case httpx.codes.CONFLICT | httpx.codes.UNPROCESSABLE_ENTITY:
                raise SchemaRefused(f"{self._where} refused {path}: {answer.text[:500]}")
            case httpx.codes.OK:
                return answer.json()
        raise RegistryUnavailable(f"{self._where} must answer {path}, was {answer.status_code}")


def subject_of(topic: Topic) -> str:
    """Return the registry's name for the values of a topic."""
    return f"{topic.name}-value"


def _avro_record(found: Any) -> Schema | None:
    """Return the schema of an answer, None for none, for other languages and for no record."""
    if found is None or found.get("schemaType", "AVRO") != "AVRO":
        return None
    schema = loads(found["schema"])
    return schema if isinstance(schema, dict) and schema.get("type") == "record" else None
