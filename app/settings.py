"""What the environment says: every setting, its variable, its default and its rule.

    settings = load()
    settings.checkpoint_every_s, settings.topic(topics.RAW), settings.kafka_client_config()

`load` names every fault at once. Secrets (passwords, and URLs, which may hold one) are in no
message and no repr.
"""

import difflib
import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError
from pydantic_settings import EnvSettingsSource

from app.errors import ConfigError
from app.setting_fields import Settings
from app.setting_values import Broken

__all__ = ["SERVERS", "Settings", "home_of", "load", "stack_file"]

SERVERS = {
    "kafka": "KAFKA_BOOTSTRAP_SERVERS",
    "redis": "REDIS_URL",
    "postgres": "POSTGRES_URL",
}
"""Servers by their name in ``stack.json``, and the variables that name other ones."""
OF_THE_LOCAL_STACK = {
    "TAPELINE_KAFKA_PORT",
    "TAPELINE_KAFKA_CONTROLLER_PORT",
    "TAPELINE_KAFKA_PROXIED_PORT",
    "TAPELINE_KAFKA_PROXIED",
    "TAPELINE_KAFKA_HEAP_OPTS",
    "TAPELINE_REDIS_PORT",
    "TAPELINE_POSTGRES_PORT",
    "TAPELINE_REGISTRY_PORT",
}
"""Variables with our prefix that the servers beside us read."""
OF_THE_CLIENT = {"TAPELINE_API_URL", "TAPELINE_API_KEY"}
"""Variables with our prefix that `app.client` reads."""
OUR_PREFIXES = ("TAPELINE_", "BARS_")
SHARED_PREFIX = "API_"
"""Of ours and of many others' variables: only what is almost one of ours is a mistake."""


def load(
    env: Mapping[str, str] | None = None, *, needs: Collection[str] = tuple(SERVERS)
) -> Settings:
    """Return the settings that the environment holds; an empty variable counts as unset.

    Args:
        env: The whole environment; None reads the process's own.
        needs: Servers (keys of `SERVERS`) that must be known; the others may stay empty.

    Raises:
        ConfigError: With a line for each fault: variable, rule and value.
    """
    given = {name: text for name, text in (os.environ if env is None else env).items() if text}
    home = home_of(given)
    texts = {"TAPELINE_HOME": str(home), **_stack_addresses(given, home), **given}
    faults = _unknown(given)
    missing = [SERVERS[name] for name in needs if SERVERS[name] not in texts]
    if missing:
        faults.append(
            f"{', '.join(missing)} must be set, or run `tapeline up`, which starts local servers "
            f"(there is no {stack_file(home)})"
        )
    try:
        settings = Settings(**_Environment(texts)())
    except ValidationError as error:
        faults.extend(_fault(each, texts) for each in error.errors())
        raise ConfigError("\n".join(faults)) from None
    if faults:
        raise ConfigError("\n".join(faults))
    return settings


def home_of(env: Mapping[str, str]) -> Path:
    """Return the data directory: absolute, not made yet."""
    return Path(env.get("TAPELINE_HOME") or "~/.local/share/tapeline").expanduser().absolute()


def stack_file(home: Path) -> Path:
    """Return where the local stack says how it is reached."""
    return home / "run" / "stack.json"


class _Environment(EnvSettingsSource):
    """The fields' texts, found in a mapping instead of the process's own environment."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts
        super().__init__(Settings)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {name.lower(): text for name, text in self._texts.items()}


def _stack_addresses(env: Mapping[str, str], home: Path) -> dict[str, str]:
    try:
        addresses = cast("dict[str, Any]", json.loads(stack_file(home).read_text()))
        return {
            variable: str(addresses[server])
            for server, variable in SERVERS.items()
            if variable not in env
        }
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _variable(field: str) -> str:
    alias = Settings.model_fields[field].validation_alias
    return alias if isinstance(alias, str) else field.upper()


def _unknown(env: Mapping[str, str]) -> list[str]:
    known = {_variable(field) for field in Settings.model_fields}
    known |= OF_THE_LOCAL_STACK | OF_THE_CLIENT
    faults = []
    for name in sorted(set(env) - known):
        is_ours = name.startswith(OUR_PREFIXES)
        if is_ours or name.startswith(SHARED_PREFIX):
            close = difflib.get_close_matches(name, known, 1, 0.6 if is_ours else 0.85)
            if is_ours or close:
                faults.append(f"{name} is no setting" + (f"; is it {close[0]}?" if close else ""))
    return faults


def _fault(error: Any, texts: Mapping[str, str]) -> str:
    name = str(error["loc"][0])
    variable = _variable(name) if name in Settings.model_fields else name
    cause = error.get("ctx", {}).get("error")
    rule = cause if isinstance(cause, Broken) else error["msg"]
    text = texts.get(variable)
    field = next(f for f in Settings.model_fields if _variable(f) == variable)
    if text is None:
        return f"{variable} {rule}"
    if not Settings.model_fields[field].repr:
        return f"{variable} {rule} (its value may hold a password and is not shown)"
    return f"{variable} {rule}, was {text!r}"
