"""How the programs end when they cannot do their work."""

import sys
from collections.abc import Callable

import pytest

from app import serve, worker
from app.errors import BrokerUnavailable, ConfigError, RegistryUnavailable, StoreUnavailable
from app.exits import in_words


def test_a_wrong_configuration_ends_with_2_and_its_words(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended, in_words():
        raise ConfigError("A must be B, was C\nD must be E, was F")

    assert ended.value.code == 2
    assert capsys.readouterr().err == "A must be B, was C\nD must be E, was F\n"


@pytest.mark.parametrize("error", [BrokerUnavailable("Kafka is away"), RegistryUnavailable("gone")])
def test_what_is_away_ends_with_its_words_and_status_1(error: Exception) -> None:
    """Python writes a text that a program ends with to standard error, and ends with 1."""
    with pytest.raises(SystemExit) as ended, in_words():
        raise error

    assert ended.value.code == str(error)


@pytest.mark.parametrize("error", [StoreUnavailable("Redis is away"), ValueError("a bug")])
def test_all_else_is_a_traceback(error: Exception) -> None:
    with pytest.raises(type(error)), in_words():
        raise error


def test_an_end_keeps_its_status() -> None:
    with pytest.raises(SystemExit) as ended, in_words():
        sys.exit(3)

    assert ended.value.code == 3


@pytest.mark.parametrize(
    ("main", "arguments"),
    [(serve.main, []), (worker.main, ["compute"]), (worker.main, ["all"])],
    ids=["serve", "worker", "supervisor"],
)
def test_every_program_refuses_a_wrong_configuration(
    main: Callable[[], None],
    arguments: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["program", *arguments])
    monkeypatch.setenv("TAPELINE_PARTITIONS", "several")

    with pytest.raises(SystemExit) as ended:
        main()

    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "TAPELINE_PARTITIONS" in said
    assert "several" in said
