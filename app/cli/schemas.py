"""``tapeline schemas``: the contracts, beside their published versions and a registry."""

from collections.abc import Iterator
from contextlib import closing

import typer

from app.cli.terminal import AsJson, json_line, line, note
from app.errors import ConfigError
from app.settings import load
from connectors.registry import ConfluentRegistry
from schemas.registry import Schema, current, fingerprint, names, published

commands = typer.Typer(help="The contracts of the records.", no_args_is_help=True)


@commands.command("check")
def check(as_json: AsJson = False) -> None:  # noqa: FBT002 - a flag of the command line
    """Check every schema against all its published versions; exit status 1 on a fault."""
    faults = faults_of_schemas()
    if as_json:
        json_line({"schemas": len(names()), "faults": faults})
    else:
        for fault in faults:
            line(fault)
        note(f"{len(names())} schemas, {len(published())} versions, {len(faults)} faults")
    if faults:
        raise typer.Exit(1)


@commands.command("register")
def register(as_json: AsJson = False) -> None:  # noqa: FBT002 - a flag of the command line
    """Register the schema of every topic with the registry of SCHEMA_REGISTRY_URL."""
    settings = load(needs=())
    if not settings.schema_registry_url:
        raise ConfigError("SCHEMA_REGISTRY_URL must be set, the built-in registry takes nothing")
    faults = faults_of_schemas()
    if faults:
        raise ConfigError("\n".join(faults))
    with closing(ConfluentRegistry(settings.schema_registry_url)) as registry:
        for each in registry.register():
            if as_json:
                json_line(each._asdict())
            else:
                line(f"{each.subject:<24} {each.id}")


@commands.command("asyncapi")
def asyncapi() -> None:
    """Print the AsyncAPI 3.0 document of the topics and the WebSocket."""
    from app.api.asyncapi import text  # noqa: PLC0415 - the web framework is slow to import

    line(text(load(needs=()).topic_prefix).decode())


def faults_of_schemas() -> list[str]:
    """Return every breach of the contract's evolution.

    A published version never changes, the newest is the current schema, and every two versions
    are compatible both ways (FULL_TRANSITIVE): a field may only come, with a default.
    """
    faults = []
    for version in published():
        if fingerprint(version.schema()) != version.sha256:
            faults.append(f"{version.file} must not change once published, but did")
        faults.extend(
            f"{version.name}: {fault}, see {version.file}"
            for fault in _breaches(version.schema(), current(version.name))
        )
    for name in names():
        newest = max((v for v in published() if v.name == name), key=lambda v: v.version)
        if newest.sha256 != fingerprint(current(name)):
            faults.append(f"{name}.avsc must be published as version {newest.version + 1}")
    return faults


def _breaches(old: Schema, new: Schema) -> Iterator[str]:
    before = {field["name"]: field for field in old["fields"]}
    after = {field["name"]: field for field in new["fields"]}
    for name, field in before.items():
        if name not in after:
            if "default" not in field:
                yield f"field {name} must stay, it has no default"
        elif fingerprint(field["type"]) != fingerprint(after[name]["type"]):
            yield f"field {name} must keep its type"
    for name in after.keys() - before.keys():
        if "default" not in after[name]:
            yield f"new field {name} must have a default"
