"""A Confluent-compatible schema registry by URL, or the one built in.

An id and its schema never change, so what was once looked up is kept, on disk too, and works on
while the registry is down. An id that was never looked up waits for it, but not for long: its
record is set aside, and those behind it do not wait again while the registry stays away. Services
only look up; `register` is for the command that releases schemas.
"""

from collections.abc import Callable, Iterable
from json import dumps, loads
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import httpx
import stamina

from app import topics
from app.breaker import Breaker, CircuitOpen, State
from app.errors import RegistryError, RegistryUnavailable, UnknownSchema
from app.topics import Topic
from connectors.known_schemas import KnownSchemas
from schemas.registry import Registry, Schema, UnansweredId, UnknownId, built_in, current

MEDIA_TYPE = "application/vnd.schemaregistry.v1+json"
COMPATIBILITY = "FULL_TRANSITIVE"
UNKNOWN_FOR_S = 30.0
"""How long an id stays unknown before the registry is asked again: poison repeats itself."""
MOST_UNKNOWN = 10_000
WAIT_S, TIMEOUT_S = 5.0, 2.0
"""How long an unknown id is asked for, and an answer waited for: nobody else is read meanwhile."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 5.0, 20.0
"""How long a registry that did not answer is left alone."""


class UnregisteredId(UnknownSchema, UnknownId):
    """The registry answered that it has no such id, or none of Avro."""


class Unanswered(RegistryUnavailable, UnansweredId):
    """The registry did not answer in time what an id is."""


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


def open_registry(
    url: str, known: Path | None = None, note: Callable[[State], None] = lambda _state: None
) -> Registry:
    """Return the registry at `url`; the one built in when it is empty.

    Args:
        url: See `ConfluentRegistry`.
        known: Likewise.
        note: Told each change of the breaker before it.
    """
    if not url:
        return built_in()
    breaker = Breaker(1, FIRST_PAUSE_S, LONGEST_PAUSE_S, note=note)
    return ConfluentRegistry(url, known=known, breaker=breaker)


class ConfluentRegistry:
    """`schemas.registry.Registry` on a server; safe to call from several threads."""

    def __init__(  # noqa: PLR0913 - each has a default
        self,
        url: str,
        *,
        timeout_s: float = TIMEOUT_S,
        wait_s: float = WAIT_S,
        known: Path | None = None,
        breaker: Breaker | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Connects on first use.

        Args:
            url: Of the API, such as ``http://127.0.0.1:8080/apis/ccompat/v7``; a user and
                password in it are sent as basic authentication.
            timeout_s: Longest wait for a connection and for each answer.
            wait_s: How long an unknown id is asked for again and again.
            known: File for what was looked up; a restart begins with it.
            breaker: Before look-ups of unknown ids; opens when one had no answer.
            clock: Seconds that only grow.
        """
        headers = {"Accept": MEDIA_TYPE, "Content-Type": MEDIA_TYPE}
        self._http = httpx.Client(base_url=url, timeout=timeout_s, headers=headers)
        # Not httpx's own text of a URL, which may show a password.
        self._where = f"schema registry at {httpx.URL(url).host}"
        self._wait_s = wait_s
        self._clock = clock
        self._breaker = breaker or Breaker(1, FIRST_PAUSE_S, LONGEST_PAUSE_S)
        self._known = KnownSchemas(known, url)
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
        known = self._known.id_of(name)
        if known is not None:
            return known
        subject = subject_of(next(topic for topic in topics.ALL if topic.schema == name))
        path = f"/subjects/{subject}?normalize=true"
        found = self._ask("POST", path, {"schema": dumps(current(name))})
        if found is None:
            rule = "must be registered, see `tapeline schemas register`"
            raise UnknownSchema(f"{name} {rule}, is not in {subject}")
        self._known.remember_id(name, int(found["id"]))
        return int(found["id"])

    def writer(self, schema_id: int) -> Schema:
        """Return the schema of an id.

        Raises:
            UnregisteredId: The registry has no Avro schema of that id.
            Unanswered: No answer in time, and the id was not looked up before.
        """
        known = self._known.schema(schema_id)
        if known is not None:
            return known
        if self._unknown.get(schema_id, 0.0) > self._clock():
            raise UnregisteredId(f"schema id must be registered, was {schema_id}")
        schema = _avro_record(self._look_up(schema_id))
        if schema is None:
            if len(self._unknown) >= MOST_UNKNOWN:
                self._unknown.clear()
            self._unknown[schema_id] = self._clock() + UNKNOWN_FOR_S
            raise UnregisteredId(f"schema id must be an Avro record's, was {schema_id}")
        self._known.remember(schema_id, schema)
        return schema

    def _look_up(self, schema_id: int) -> Any:
        """Ask for an id for as long as a record may wait; only once while it was left alone."""
        wait_s = self._wait_s if self._breaker.state is State.CLOSED else 0.0
        rule = f"{self._where} must say what id {schema_id} is"
        try:
            with self._breaker.attempt(RegistryUnavailable):
                for attempt in stamina.retry_context(
                    on=RegistryUnavailable, attempts=None if wait_s else 1, timeout=wait_s or None,
                    wait_initial=0.1, wait_max=1.0, wait_jitter=0.1,
                ):  # fmt: skip
                    with attempt:
                        return self._ask("GET", f"/schemas/ids/{schema_id}")
        except (RegistryUnavailable, CircuitOpen) as error:
            raise Unanswered(f"{rule}: {error}") from error
        raise AssertionError("retry_context ends by returning or raising")

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
