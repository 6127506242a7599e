"""``tapeline keys``: what is refused before anything is asked of a server."""

import pytest
from typer.testing import CliRunner

from app.cli.commands import commands
from app.cli.keys import _duration
from app.errors import ConfigError

AWAY = {"POSTGRES_URL": "postgresql://u:hunter2@127.0.0.1:1/none", "TAPELINE_HOME": "/nowhere"}


def refused(*arguments: str) -> str:
    done = CliRunner().invoke(commands, ["keys", *arguments], env=AWAY)
    assert isinstance(done.exception, ConfigError), done.output
    return str(done.exception)


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        (
            ["desk", "--role", "boss"],
            "--role must be one of viewer, trader, ops, admin, was 'boss'",
        ),
        (["desk", "--role", "ops", "--expires", "soon"], "--expires must be a duration"),
        (["desk", "--role", "ops", "--expires", "0s"], "--expires must be 1s to 36500d, was '0s'"),
        (["desk", "--role", "ops", "--expires", "99999d"], "--expires must be 1s to 36500d"),
        ([" desk", "--role", "ops"], "a key's name must be 1 to 64 printable characters"),
        (["desk", "--role", "ops", "--symbols", "BTC"], "a pattern of series must be like"),
        (["desk", "--role", "ops", "--streams", "x"], "a pattern of streams must match one of"),
    ],
)
def test_a_key_that_makes_no_sense_is_refused_with_rule_and_value(
    arguments: list[str], rule: str
) -> None:
    assert refused("create", *arguments).startswith(rule)


def test_a_key_without_a_role_is_wrong_usage() -> None:
    assert CliRunner().invoke(commands, ["keys", "create", "desk"]).exit_code == 2


def test_a_grace_may_be_nothing_and_not_less() -> None:
    assert _duration("--grace", "0s").total_seconds() == 0
    with pytest.raises(ConfigError, match=r"^--grace must be a duration >= 0.*was '-1h'$"):
        _duration("--grace", "-1h")


@pytest.mark.parametrize("name", ["create", "list", "rotate", "revoke", "audit"])
def test_every_command_says_what_it_does(name: str) -> None:
    page = CliRunner().invoke(commands, ["keys", name, "--help"])

    assert (page.exit_code, "Usage" in page.stdout) == (0, True)
