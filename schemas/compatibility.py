"""Whether every schema may stand beside all its earlier versions: FULL_TRANSITIVE, and more.

The `avro` package's checker judges both directions, but is blind to logical types (a decimal's
scale), to namespaces, to text that became bytes, to a default of the wrong type, and takes a rename
for a removal and an addition. The rules here are narrower: fields are added, with defaults, and
nothing else ever changes. A new field of a tick goes before `quality`: see `LAST`.
"""

import json
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable

from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from avro.errors import AvroException
from avro.schema import parse
from fastavro.validation import validate

from schemas.layout import fields_of
from schemas.registry import Schema, Version, canonical, fingerprint, full_name

LAST = {"tick": ("quality", "raw_offset")}
"""Fields that must stay last, in this order: `schemas.stamp` replaces their bytes."""


def breaches(root: Traversable | None = None) -> list[str]:
    """Return what breaks a rule, one sentence each; none when the schemas may be released.

    Args:
        root: Folder of the schemas and their manifest; this package's by default.
    """
    root = root or files("schemas")
    manifest = json.loads((root / "manifest.json").read_text())
    versions = [Version(**entry) for entry in manifest]
    found = list(_of_manifest(versions))
    for entry in sorted(root.iterdir(), key=lambda entry: entry.name):
        if entry.name.endswith(".avsc"):
            name = entry.name.removesuffix(".avsc")
            of_name = [version for version in versions if version.name == name]
            found += _of_record(root, name, json.loads(entry.read_text()), of_name)
    return found


def compare(name: str, new: Schema, old: Schema) -> list[str]:
    """Return why `new` may not follow `old`, in sentences that begin with what is wrong."""
    if full_name(new) != full_name(old):
        return [f"{name} must stay {full_name(old)}, was {full_name(new)}"]
    return [*_of_fields(name, new, old), *_of_avro(name, new, old)]


def _of_manifest(versions: list[Version]) -> Iterator[str]:
    ids = [version.id for version in versions]
    for known in sorted({known for known in ids if ids.count(known) > 1}):
        yield f"manifest id must be given once, was given {ids.count(known)} times: {known}"
    for name in sorted({version.name for version in versions}):
        numbers = [version.version for version in versions if version.name == name]
        if numbers != list(range(1, len(numbers) + 1)):
            yield f"{name} versions must count from 1 without a hole, were {numbers}"


def _of_record(
    root: Traversable, name: str, current: Schema, versions: list[Version]
) -> Iterator[str]:
    if not versions:
        yield f"{name} must have a version in the manifest, has none"
        return
    yield from _of_one(name, current)
    schemas = [json.loads((root / version.file).read_text()) for version in versions]
    for version, schema in zip(versions, schemas, strict=True):
        if fingerprint(schema) != version.sha256:
            yield f"{version.file} must be as published, was changed"
        yield from compare(f"{name} against version {version.version}", current, schema)
    if canonical(current) != canonical(schemas[-1]):
        yield f"{name} must equal its newest version, {versions[-1].file}, was changed"


def _of_one(name: str, schema: Schema) -> Iterator[str]:
    """Yield what is wrong with a schema on its own."""
    try:
        fields_of(schema)
    except ValueError as error:
        yield f"{name}.{error}"
    for field in schema["fields"]:
        declared = field["type"][0] if isinstance(field["type"], list) else field["type"]
        if "default" in field and not validate(field["default"], declared, raise_errors=False):
            yield f"{name}.{field['name']} default must be {declared}, was {field['default']!r}"
    last = LAST.get(name, ())
    tail = tuple(field["name"] for field in schema["fields"][-len(last) :]) if last else ()
    if tail != last:
        yield f"{name} must end with {last}, ends with {tail}"


def _of_fields(name: str, new: Schema, old: Schema) -> Iterator[str]:
    news = {field["name"]: field for field in new["fields"]}
    olds = {field["name"]: field for field in old["fields"]}
    for field in new["fields"]:
        if field.get("aliases"):
            yield f"{name}: {field['name']} must have no aliases, a field is never renamed"
    for field_name, before in olds.items():
        after = news.get(field_name)
        if after is None:
            yield f"{name}: {field_name} must stay, was removed or renamed"
        elif canonical(after["type"]) != canonical(before["type"]):
            yield f"{name}: {field_name} must stay {canonical(before['type'])}, was changed"
        elif canonical(after) != canonical(before):
            yield f"{name}: {field_name} must keep its default, was changed"
    for field_name in news.keys() - olds.keys():
        if "default" not in news[field_name]:
            yield f"{name}: {field_name} must have a default, is new without one"


def _of_avro(name: str, new: Schema, old: Schema) -> Iterator[str]:
    try:
        one, other = parse(json.dumps(new)), parse(json.dumps(old))
    except AvroException as error:
        yield f"{name} must be an Avro schema: {error}"
        return
    for reader, writer, direction in ((one, other, "old records"), (other, one, "new records")):
        result = ReaderWriterCompatibilityChecker().get_compatibility(reader, writer)
        if result.compatibility is not SchemaCompatibilityType.compatible:
            where = f"{sorted(result.locations)}: {sorted(result.messages)}"
            yield f"{name} must stay readable both ways, {direction} are not, at {where}"
