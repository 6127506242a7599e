"""Where the local stack keeps its things."""

from pathlib import Path

import pytest

from infra.local.home import Home


def test_ports_are_kept_when_only_some_servers_were_ever_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis alone, stopped and started, must be where its clients look for it."""
    monkeypatch.setenv("TAPELINE_HOME", str(tmp_path))
    monkeypatch.setenv("TAPELINE_REDIS_PORT", "0")
    first = Home.from_env()
    port = first.choose_port("redis")
    first.save()

    again = Home.from_env()

    assert again.choose_port("redis") == port
