"""F13: a producer of another schema, with the registry and around it."""

import json
import struct
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastavro import parse_schema, schemaless_writer

from app import topics
from connectors.registry import ConfluentRegistry, subject_of
from tests.fault.conftest import MakeTrial
from tests.fault.trial import RATE, SYMBOLS, WORKERS
from tests.live.feed import START_US, Pair
from tests.live.test_registry import Apicurio
from tests.poison import TICK_ID, trade

FOREIGN = 50
PATIENCE_S = 30.0
"""With a registry that has just been started, on a busy machine."""


def with_a_price_of(kind: str) -> dict[str, Any]:
    """Return the tick's schema with prices of another type, which none of ours can be read from."""
    schema: dict[str, Any] = json.loads((topics_folder() / "tick.avsc").read_text())
    for field in schema["fields"]:
        if field["name"] in {"price", "size"}:
            field["type"] = kind
            field.pop("default", None)
    return schema


def topics_folder() -> Path:
    return Path(__file__).parents[2] / "schemas"


def register(url: str, subject: str, schema: dict[str, Any]) -> httpx.Response:
    path = f"{url}/subjects/{subject}/versions"
    return httpx.post(path, json={"schema": json.dumps(schema)}, timeout=PATIENCE_S)


def written_with(schema: dict[str, Any], schema_id: int, number: int) -> Pair:
    """Return a trade as a producer of another schema writes it."""
    symbol = SYMBOLS[number % len(SYMBOLS)]
    fields = trade(symbol, "FOREIGN", START_US + number, str(number))
    out = BytesIO()
    out.write(struct.pack(">bI", 0, schema_id))
    bare = parse_schema(json.loads(json.dumps(schema).replace('"logicalType"', '"said"')))
    schemaless_writer(out, bare, {**fields, "price": 1.5, "size": 2.5})
    return symbol.encode(), out.getvalue()


@pytest.mark.live
@pytest.mark.timeout(240)
def test_an_incompatible_producer_is_refused_by_the_registry_and_around_it(
    make_trial: MakeTrial, registry: Apicurio
) -> None:
    """With: its schema is no version of the topic's. Around: its records are dead letters."""
    foreign = with_a_price_of("double")
    client = ConfluentRegistry(registry.url, timeout_s=PATIENCE_S)
    client.register()
    assert client.id_of("tick") == TICK_ID
    client.close()
    refused = register(registry.url, subject_of(topics.RAW), foreign)
    assert refused.status_code == httpx.codes.CONFLICT, refused.text
    around = int(register(registry.url, "their-own-subject", foreign).json()["id"])

    trial = make_trial(SCHEMA_REGISTRY_URL=registry.url)
    trial.world.started(*WORKERS)
    theirs = [written_with(foreign, around, n) for n in range(FOREIGN)]
    unregistered = [
        (key, struct.pack(">bI", 0, 900_000) + (value or b"")[5:]) for key, value in theirs
    ]
    # Under the id of ours: eight bytes of a double are a length and rubbish to a decimal's reader.
    disguised = [
        (key, struct.pack(">bI", 0, TICK_ID) + (value or b"")[5:]) for key, value in theirs
    ]
    pairs = trial.ticks(2 * RATE)
    for n, pair in enumerate(theirs + unregistered + disguised):
        pairs.insert(1 + n * (len(pairs) // (4 * FOREIGN)), pair)
    trial.poison.update(theirs + unregistered + disguised)
    with trial.flow(pairs):
        pass
    trial.judge()

    reasons = {
        (each["key"], each["value"]): each["reason"]
        for _, each in trial.world.outside.decoded("ticks.dlq.v1")
    }
    assert {reasons[pair] for pair in theirs + unregistered} == {"unknown_schema"}
    assert {reasons[pair] for pair in disguised} <= {"not_avro", "truncated", "trailing_bytes"}
