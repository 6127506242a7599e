import json
from collections.abc import Callable
from copy import deepcopy
from importlib.resources import files
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from schemas.compatibility import breaches, compare
from schemas.registry import built_in, current, names, published

Schema = dict[str, Any]
Change = Callable[[Schema], None]


def test_the_committed_schemas_break_no_rule() -> None:
    assert breaches() == []


def test_every_name_has_an_id_of_its_own() -> None:
    ids = [built_in().id_of(name) for name in names()]

    assert len(set(ids)) == len(ids)
    assert len({version.id for version in published()}) == len(published())


def changed(name: str, change: Change) -> Schema:
    schema = deepcopy(current(name))
    change(schema)
    return schema


def field(schema: Schema, name: str) -> Schema:
    found: Schema = next(field for field in schema["fields"] if field["name"] == name)
    return found


def remove(name: str) -> Change:
    return lambda schema: schema["fields"].remove(field(schema, name))


def put(name: str, /, **parts: Any) -> Change:
    return lambda schema: field(schema, name).update(parts)


def add(place: int, /, **parts: Any) -> Change:
    return lambda schema: schema["fields"].insert(place, parts)


def decimal(**parts: Any) -> list[Any]:
    whole = {"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 12, **parts}
    return ["null", whole]


BREACHES: dict[str, tuple[str, Change, str]] = {
    "a new field without a default": (
        "tick", add(0, name="isin", type="string"), "isin must have a default",
    ),
    "a removed field": ("tick", remove("venue"), "venue must stay"),
    "a removed field with a default": ("tick", remove("sector"), "sector must stay"),
    "a renamed field with a default": ("tick", put("sector", name="industry"), "sector must stay"),
    "a rename by alias": (
        "tick", put("venue", name="market", aliases=["venue"]), "market must have no aliases",
    ),
    "a renamed record": ("tick", lambda s: s.update(name="Trade"), "must stay tapeline.Tick"),
    "another namespace": ("tick", lambda s: s.update(namespace="x"), "must stay tapeline.Tick"),
    "a widened number": ("tick", put("quality", type="long"), "quality must stay"),
    "a text that became bytes": ("tick", put("venue", type="bytes"), "venue must stay"),
    "another scale": ("tick", put("price", type=decimal(scale=10)), "price must stay"),
    "another precision": ("tick", put("price", type=decimal(precision=40)), "price must stay"),
    "an optional that became required": ("tick", put("sector", type="string"), "sector must stay"),
    "a required that became optional": (
        "tick", put("venue", type=["null", "string"], default=None), "venue must stay",
    ),
    "another default": ("tick", put("quality", default=1), "quality must keep its default"),
    "a dropped default": (
        "tick", lambda s: field(s, "quality").pop("default"), "quality must keep its default",
    ),
    "a new enum symbol": (
        "bar", lambda s: field(s, "reason")["type"]["symbols"].append("x"), "reason must stay",
    ),
    "enum symbols in another order": (
        "bar", lambda s: field(s, "reason")["type"]["symbols"].reverse(), "reason must stay",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("name", "change", "says"), BREACHES.values(), ids=BREACHES.keys())
def test_a_change_that_is_no_addition_is_a_breach(name: str, change: Change, says: str) -> None:
    found = compare(name, changed(name, change), current(name))

    assert any(says in breach for breach in found), found


SEEN_BY_AVRO = ("a new field without a default", "a removed field", "a new enum symbol")


@pytest.mark.parametrize("breach", SEEN_BY_AVRO)
def test_the_reference_checker_is_asked_too(breach: str) -> None:
    name, change, _ = BREACHES[breach]

    found = compare(name, changed(name, change), current(name))

    assert any("must stay readable both ways" in sentence for sentence in found)


def test_a_new_field_with_a_default_is_no_breach() -> None:
    schema = changed("tick", add(16, name="isin", type=["null", "string"], default=None))

    assert compare("tick", schema, current("tick")) == []


def test_documentation_may_change() -> None:
    assert compare("tick", changed("tick", put("venue", doc="Where.")), current("tick")) == []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a copy of the schemas, to be broken."""
    with_manifest = tmp_path / "schemas"
    copytree(str(files("schemas")), with_manifest)
    return with_manifest


def rewrite(file: Path, change: Callable[[Any], object]) -> None:
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def release(folder: Path, name: str, change: Change) -> None:
    """Publish a second version of a schema."""
    file = f"versions/{name}/2.avsc"
    rewrite(folder / f"{name}.avsc", change)
    (folder / file).write_text((folder / f"{name}.avsc").read_text())
    entry = {"name": name, "version": 2, "id": 100, "file": file, "sha256": ""}
    rewrite(folder / "manifest.json", lambda manifest: manifest.append(entry))


def test_a_release_of_a_field_before_the_last_two_is_allowed(folder: Path) -> None:
    release(folder, "tick", add(16, name="isin", type=["null", "string"], default=None))

    assert breaches(folder) == ["versions/tick/2.avsc must be as published, was changed"]


def test_a_tick_must_end_with_the_fields_that_are_stamped(folder: Path) -> None:
    release(folder, "tick", add(18, name="isin", type=["null", "string"], default=None))

    assert any(breach.startswith("tick must end with") for breach in breaches(folder))


def test_every_earlier_version_counts_and_not_only_the_last(folder: Path) -> None:
    """A field may not come back with another type after it was gone."""
    release(folder, "clock", remove("source"))
    rewrite(folder / "clock.avsc", add(1, name="source", type="long", default=0))

    assert any("against version 1" in b and "source must stay" in b for b in breaches(folder))


@pytest.mark.parametrize(
    ("file", "change", "says"),
    [
        ("tick.avsc", put("quality", default=2), "tick must equal its newest version"),
        ("versions/tick/1.avsc", put("venue", type="bytes"), "must be as published"),
        ("manifest.json", lambda m: m[1].update(id=m[0]["id"]), "id must be given once"),
        ("manifest.json", lambda m: m[0].update(version=2), "must count from 1"),
        ("manifest.json", lambda m: m.pop(0), "tick must have a version in the manifest"),
        ("tick.avsc", put("quality", default="0"), "quality default must be int, was '0'"),
        ("tick.avsc", put("sector", default="x"), "sector default must be null, was 'x'"),
        (
            "tick.avsc",
            put("sector", type={"type": "map", "values": "int"}),
            "sector must be a type",
        ),
    ],
)
def test_a_broken_folder_is_a_breach(
    folder: Path, file: str, change: Callable[[Any], object], says: str
) -> None:
    rewrite(folder / file, change)

    assert any(says in breach for breach in breaches(folder)), breaches(folder)
