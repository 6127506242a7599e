"""The Compose file and the local stack promise the same servers."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.local import kafka, postgres, redis
from infra.local.home import DEFAULT_PORTS

ROOT = Path(__file__).parents[3]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.kafka.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]

each_service = pytest.mark.parametrize("name", SERVICES)


def default(text: str) -> str:
    """Resolve Compose's ``${NAME:-default}`` as if no variable were set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def pairs(command: list[str], flag: str) -> dict[str, str]:
    """Read ``flag KEY=VALUE`` options."""
    options = [command[n + 1] for n, part in enumerate(command) if part == flag]
    return dict(option.split("=", 1) for option in options)


def test_kafka_has_the_local_brokers_settings() -> None:
    """A setting added to one of the two, or changed in one, fails here."""
    only_in_a_container = {
        "KAFKA_LISTENERS",
        "KAFKA_ADVERTISED_LISTENERS",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP",
        "KAFKA_CONTROLLER_QUORUM_VOTERS",
        "KAFKA_LOG_DIRS",
        "KAFKA_HEAP_OPTS",
    }
    environment = SERVICES["kafka"]["environment"]
    shared = {name: value for name, value in environment.items() if name not in only_in_a_container}

    assert shared == {
        "KAFKA_" + key.upper().replace(".", "_"): value for key, value in kafka.SETTINGS.items()
    }
    assert default(environment["KAFKA_HEAP_OPTS"]) == kafka.DEFAULT_HEAP


def test_kafka_is_the_version_that_maven_fetches() -> None:
    """One broker version, whichever way it is started."""
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{kafka.version()}"


def test_redis_has_the_local_servers_settings() -> None:
    """Protected mode is the one difference: a container listens on its bridge."""
    program, *options = SERVICES["redis"]["command"]
    given = dict(zip(options[::2], options[1::2], strict=True))

    assert program == "redis-server"
    assert given.pop("--protected-mode") == "no"
    assert given == {f"--{key}": value for key, value in redis.SETTINGS.items()}


def test_postgres_has_the_local_servers_settings() -> None:
    """Compose always has TimescaleDB, with its telemetry off."""
    command = SERVICES["postgres"]["command"]

    assert command[0] == "postgres"
    assert pairs(command, "-c") == {**postgres.SETTINGS, **postgres.TIMESCALE_SETTINGS}


@pytest.mark.parametrize("name", ["kafka", "redis", "postgres"])
def test_both_listen_on_the_same_port(name: str) -> None:
    """A client finds a server at the same address, whichever way it was started."""
    (published,) = SERVICES[name]["ports"]

    assert default(published).startswith(f"127.0.0.1:{DEFAULT_PORTS[name]}:")


@each_service
def test_every_image_is_pinned(name: str) -> None:
    """A tag with a version: never latest, never a bare major."""
    repository, _, tag = SERVICES[name]["image"].partition(":")

    assert repository
    assert re.match(r"v?\d+\.\d+\.\d+", tag)


@each_service
def test_every_port_is_bound_to_loopback(name: str) -> None:
    """By the published port, or by the server's own option where it has the host's network."""
    service = SERVICES[name]
    if service.get("network_mode") == "host":
        own = [*service.get("command", []), *service.get("environment", {}).values()]
        assert {"--web.listen-address=127.0.0.1:9090", "127.0.0.1"} & set(own)
        assert "ports" not in service
    else:
        assert service["ports"]
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])


@each_service
def test_every_service_has_a_health_check(name: str) -> None:
    """`docker compose up --wait` means what it says."""
    assert SERVICES[name]["healthcheck"]["test"]


def test_every_named_volume_is_declared() -> None:
    """An undeclared one fails only when it is started."""
    mounts = [mount for service in SERVICES.values() for mount in service.get("volumes", [])]
    sources = {mount.split(":")[0] for mount in mounts}

    assert {source for source in sources if not source.startswith(".")} == set(COMPOSE["volumes"])
    assert all((ROOT / source).is_dir() for source in sources if source.startswith("."))


def test_the_dashboard_reads_the_provisioned_data_source() -> None:
    """A panel of another data source would stay empty without an error."""
    grafana = ROOT / "infra" / "grafana"
    (source,) = yaml.safe_load((grafana / "datasources" / "prometheus.yml").read_text())[
        "datasources"
    ]
    dashboard = json.loads((grafana / "dashboards" / "tapeline.json").read_text())
    targets = [target for panel in dashboard["panels"] for target in panel["targets"]]

    assert targets
    assert {target["datasource"]["uid"] for target in targets} == {source["uid"]}
