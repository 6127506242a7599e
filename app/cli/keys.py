"""``tapeline keys``: who may call the API, and what admins did with it."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from app.api.access import keys
from app.api.access.audit import AuditLog
from app.api.access.keys import ApiKey, KeyStore, NewKey
from app.api.access.roles import Role
from app.api.redacted import text_of
from app.cli.terminal import AsJson, json_line, line, note, table
from app.errors import ConfigError
from app.setting_values import Broken, duration_s
from app.settings import load
from connectors.access_postgres import PostgresAuditLog, PostgresKeyStore

commands = typer.Typer(help="API keys, and the log of what admins did.", no_args_is_help=True)
SHOWN = (
    "id", "name", "role", "state", "symbols", "streams", "created_at", "expires_at", "rotated_from",
)  # fmt: skip
AUDITED = (
    "at", "phase", "name", "role", "kind", "key_id", "method", "path", "query", "status", "client",
    "request_id",
)  # fmt: skip
LONGEST_S = 100 * 365 * 86_400.0
KeyId = Annotated[str, typer.Argument(metavar="ID", help="As `list` prints it.")]


@commands.callback()
def _group() -> None:
    """API keys, and the log of what admins did."""


@commands.command("create")
def create(  # noqa: PLR0913 - options of the command line
    name: Annotated[str, typer.Argument(help="Whose it is, for people.")],
    role: Annotated[str, typer.Option(help="viewer, trader, ops or admin.")],
    symbols: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="Series it may see, such as BTC/*@*; several: again."),
    ] = None,
    streams: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="Streams it may follow: quotes, bars, ticks, ..."),
    ] = None,
    expires: Annotated[str | None, typer.Option(help="Such as 90d; without it: never.")] = None,
    as_json: AsJson = False,  # noqa: FBT002 - a flag of the command line
) -> None:
    """Make a key and print it; nothing can print it again."""
    lifetime = None if expires is None else _duration("--expires", expires, least_s=1.0)
    try:
        made = keys.new(
            name,
            _role(role),
            datetime.now(UTC),
            lifetime=lifetime,
            symbols=tuple(symbols or ()),
            streams=tuple(streams or ()),
        )
    except ValueError as error:
        raise ConfigError(str(error)) from None
    with _store() as store:
        store.put(made.key.row())
    _hand_over(made, as_json=as_json)


@commands.command("list")
def list_keys(as_json: AsJson = False) -> None:  # noqa: FBT002 - a flag of the command line
    """Print every key, without its secret."""
    with _store() as store:
        found = [_shown(ApiKey.of(row)) for row in store.list()]
    if as_json:
        for row in found:
            json_line(row)
    else:
        for row in found:
            row["symbols"], row["streams"] = " ".join(row["symbols"]), " ".join(row["streams"])
        table(SHOWN, ([row[name] for name in SHOWN] for row in found))
    if not found:
        note("no keys: the API is open on a loopback address, and starts on no other")


@commands.command("rotate")
def rotate(
    key_id: KeyId,
    grace: Annotated[str, typer.Option(help="How long the old one goes on.")] = "1h",
    as_json: AsJson = False,  # noqa: FBT002 - a flag of the command line
) -> None:
    """Make the key that takes over from ID and print it; the old one ends after the grace."""
    now = datetime.now(UTC)
    until = now + _duration("--grace", grace)
    with _store() as store:
        old = _key(store, key_id)
        if old.state(now) != "active":
            raise ConfigError(f"ID must be an active key's, {key_id!r} is {old.state(now)}")
        made = keys.successor(old, now)
        if not store.rotate(made.key.row(), until):
            raise ConfigError(
                f"ID must be a key that none has taken over from, was {key_id!r}; see `keys list`"
            )
    ends = until if old.expires_at is None else min(until, old.expires_at)
    note(f"{key_id} ends at {ends.isoformat(timespec='seconds')}")
    _hand_over(made, as_json=as_json)


@commands.command("revoke")
def revoke(key_id: KeyId) -> None:
    """End a key for good; every API process refuses it within 30 s."""
    with _store() as store:
        _key(store, key_id)
        store.revoke(key_id, datetime.now(UTC))
    note(f"{key_id} is revoked; API processes that know it refuse it within 30 s")


@commands.command("audit")
def audit(
    limit: Annotated[int, typer.Option(min=1, help="The newest so many rows.")] = 100,
    as_json: AsJson = False,  # noqa: FBT002 - a flag of the command line
) -> None:
    """Print what admins did with the API, oldest first: an intent and an outcome for each call."""
    with _audit_log() as log:
        rows = log.newest(limit)
    if as_json:
        for row in rows:
            json_line({**row, "call_id": str(row["call_id"])})
    else:
        table(AUDITED, ([row[name] for name in AUDITED] for row in rows))
    if not rows:
        note("no admin calls")


@contextmanager
def _store() -> Iterator[KeyStore]:
    with closing(PostgresKeyStore(load(needs=("postgres",)).postgres_url)) as store:
        yield store


@contextmanager
def _audit_log() -> Iterator[AuditLog]:
    with closing(PostgresAuditLog(load(needs=("postgres",)).postgres_url)) as log:
        yield log


def _key(store: KeyStore, key_id: str) -> ApiKey:
    row = store.get(key_id)
    if row is None:
        # Whoever pastes a whole key here must not meet it again in a message or in a log.
        raise ConfigError(
            f"ID must be the 8 characters of a key that exists, was {text_of(key_id)!r}"
        )
    return ApiKey.of(row)


def _role(text: str) -> Role:
    role = Role.highest([text])
    if role is None:
        raise ConfigError(
            f"--role must be one of {', '.join(each.value for each in Role)}, was {text!r}"
        )
    return role


def _duration(option: str, text: str, least_s: float = 0.0) -> timedelta:
    try:
        seconds = duration_s(text)
    except Broken as error:
        raise ConfigError(f"{option} {error}, was {text!r}") from None
    if not least_s <= seconds <= LONGEST_S:
        raise ConfigError(f"{option} must be {least_s:g}s to 36500d, was {text!r}")
    return timedelta(seconds=seconds)


def _shown(key: ApiKey) -> dict[str, Any]:
    row = {**key.row(), "state": key.state(datetime.now(UTC))}
    return {name: row[name] for name in (*SHOWN, "revoked_at")}


def _hand_over(made: NewKey, *, as_json: bool) -> None:
    if as_json:
        json_line({**_shown(made.key), "key": made.text})
        return
    note("this is the only time the key is shown")
    line(made.text)
