"""F21: wrong or missing settings, passwords and certificates end a worker at once, all named."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.conftest import ROOT, Stack
from tests.fault.cluster import Broker, Cluster, free_port
from tests.fault.line import Line
from tests.fault.stores import OwnPostgres, OwnRedis
from tests.live.world import OUR_SETTINGS, Worker

pytestmark = [pytest.mark.fault, pytest.mark.timeout(120)]

WITHIN_S = 10.0
EXIT_CONFIG = 2
SECRET, RIGHT = "s3cret-and-wrong", "s3cret-and-right"
HOST = "127.0.0.1"


class Refused(NamedTuple):
    """How a worker ended."""

    status: int
    said: str


class Start:
    """Starts workers that must not run.

    Args:
        stack: The servers that are right.
        home: For TAPELINE_HOME.
        line: Takes the longest time that one needed to end.
    """

    def __init__(self, stack: Stack, home: Path, line: Line) -> None:
        self._home, self._line = home, line
        kept = {k: v for k, v in os.environ.items() if not k.startswith(OUR_SETTINGS)}
        self.env = {
            **kept,
            "TAPELINE_HOME": str(home),
            "KAFKA_BOOTSTRAP_SERVERS": stack.kafka,
            "REDIS_URL": stack.redis,
            "POSTGRES_URL": stack.postgres,
        }
        self._longest_s = 0.0

    def refused(self, role: str, changed: Mapping[str, str | None]) -> Refused:
        """Start a worker, and return how it ended: in time, with no secret in what it said."""
        env = {**self.env, **changed}
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "app.worker", role],
            cwd=ROOT, capture_output=True, text=True, check=False, timeout=60,
            env={name: value for name, value in env.items() if value is not None},
        )  # fmt: skip
        took_s = time.monotonic() - began
        self._longest_s = max(self._longest_s, took_s)
        self._line.note(exits_within_s=round(self._longest_s, 1))
        said = (
            done.stdout
            + done.stderr
            + "".join(file.read_text(errors="replace") for file in self._home.rglob("*.log"))
        )
        assert took_s < WITHIN_S, f"it took {took_s:.1f} s: {said}"
        assert SECRET not in said
        assert RIGHT not in said
        return Refused(done.returncode, said)


@pytest.fixture
def start(stack: Stack, tmp_path: Path, line: Line) -> Start:
    return Start(stack, tmp_path / "home", line)


@pytest.fixture
def locked_redis() -> Iterator[OwnRedis]:
    """Return a Redis with a password."""
    with closing(OwnRedis()) as server:
        server.ask("CONFIG", "SET", "requirepass", RIGHT)
        yield server


@pytest.fixture
def locked_postgres() -> Iterator[OwnPostgres]:
    """Return a Postgres that asks for a password."""
    with closing(OwnPostgres()) as server:
        server.ask(f"ALTER ROLE tapeline PASSWORD '{RIGHT}'")
        rules = Path(server.ask("SHOW hba_file"))
        rules.write_text("host all all 127.0.0.1/32 scram-sha-256\n")
        server.ask("SELECT pg_reload_conf()")
        yield server


def with_password(url: str, password: str) -> str:
    """Return a URL with another password."""
    scheme, _, rest = url.partition("://")
    user = rest.partition("@")[0] if "@" in rest else ""
    return f"{scheme}://{user}:{password}@{rest.rpartition('@')[2]}"


def test_every_wrong_setting_is_named_at_once(start: Start) -> None:
    wrong = {
        "KAFKA_BOOTSTRAP_SERVERS": "nowhere",
        "REDIS_URL": f"http://:{SECRET}@127.0.0.1",
        "POSTGRES_URL": f"mysql://me:{SECRET}@127.0.0.1",
        "BARS_GRACE": "-1s",
        "CHECKPOINT_EVERY": "never",
        "TAPELINE_PARTITONS": "4",
    }
    missing = ("KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD")
    for role in ("compute", "hot", "warm", "all"):
        found = start.refused(role, {**wrong, "KAFKA_SECURITY_PROTOCOL": "SASL_SSL"})

        assert found.status == EXIT_CONFIG
        for name in [*wrong, *missing, "is it TAPELINE_PARTITIONS?"]:
            assert name in found.said
        assert "Traceback" not in found.said


def test_missing_servers_are_named_at_once(start: Start) -> None:
    missing = dict.fromkeys(("KAFKA_BOOTSTRAP_SERVERS", "REDIS_URL", "POSTGRES_URL"))
    found = start.refused("all", missing)

    assert found.status == EXIT_CONFIG
    assert all(name in found.said for name in missing)


def test_both_stores_passwords_are_named_at_once(
    start: Start, locked_redis: OwnRedis, locked_postgres: OwnPostgres
) -> None:
    found = start.refused(
        "all",
        {
            "REDIS_URL": with_password(locked_redis.url, SECRET),
            "POSTGRES_URL": with_password(locked_postgres.url, SECRET),
        },
    )

    assert found.status == EXIT_CONFIG
    assert "REDIS_URL must be accepted" in found.said
    assert "POSTGRES_URL must be accepted" in found.said


def test_a_store_that_wants_a_password_and_gets_none_refuses_its_worker(
    start: Start, locked_redis: OwnRedis, locked_postgres: OwnPostgres
) -> None:
    for role, variable, url in (
        ("hot", "REDIS_URL", locked_redis.url),
        ("warm", "POSTGRES_URL", locked_postgres.url),
    ):
        found = start.refused(role, {variable: url})
        assert (found.status, variable in found.said) == (EXIT_CONFIG, True), found.said


def test_a_database_that_is_not_there_and_a_certificate_that_cannot_be_are_named(
    start: Start, stack: Stack
) -> None:
    database = stack.postgres.rpartition("/")[0] + "/nowhere"
    for url in (database, f"{stack.postgres}?sslmode=require"):
        found = start.refused("warm", {"POSTGRES_URL": url})
        assert (found.status, "POSTGRES_URL" in found.said) == (EXIT_CONFIG, True), found.said


def test_a_broker_that_nobody_hears_ends_the_worker_with_words(start: Start) -> None:
    """Not as a wrong configuration: a restart may find it."""
    found = start.refused("compute", {"KAFKA_BOOTSTRAP_SERVERS": f"{HOST}:{free_port()}"})

    assert found.status == 1
    assert "no broker of 127.0.0.1" in found.said
    assert "Traceback" not in found.said


class LoginBroker(Broker):
    """A broker that asks for a password on one port, and shows a certificate on another."""

    def __init__(self, folder: Path) -> None:
        super().__init__(1, folder, folder / "data")
        self.sasl, self.tls = free_port(), free_port()
        self.authority = folder / "authority.pem"
        self._pair = folder / "pair.pem"
        key, certificate = folder / "key.pem", self.authority
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
             "-keyout", str(key), "-out", str(certificate), "-subj", f"/CN={HOST}",
             "-addext", f"subjectAltName=IP:{HOST}"],
            check=True, capture_output=True,
        )  # fmt: skip
        self._pair.write_text(key.read_text() + certificate.read_text())

    def configure(self, voters: str, more: Mapping[str, str]) -> None:
        super().configure(voters, more)
        ports = {"PLAINTEXT": self.port, "CONTROLLER": self.controller_port}
        ours = {"SASL": self.sasl, "TLS": self.tls}
        kinds = {"SASL": "SASL_PLAINTEXT", "TLS": "SSL"}
        module = "org.apache.kafka.common.security.plain.PlainLoginModule"
        settings = {
            "listeners": ",".join(f"{n}://{HOST}:{p}" for n, p in {**ports, **ours}.items()),
            "advertised.listeners": ",".join(
                f"{n}://{HOST}:{p}" for n, p in {"PLAINTEXT": self.port, **ours}.items()
            ),
            "listener.security.protocol.map": ",".join(
                f"{name}:{kinds.get(name, 'PLAINTEXT')}" for name in {**ports, **ours}
            ),
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.sasl.plain.sasl.jaas.config": (
                f'{module} required user_tapeline="{RIGHT}";'
            ),
            "listener.name.tls.ssl.keystore.type": "PEM",
            "listener.name.tls.ssl.keystore.location": str(self._pair),
        }
        with self._properties.open("a") as file:  # of two lines of a name the last counts
            file.write("".join(f"{name}={value}\n" for name, value in settings.items()))


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[LoginBroker]:
    cluster = Cluster(tmp_path / "cluster")
    mine = LoginBroker(tmp_path / "cluster")
    cluster.brokers = [mine]
    try:
        cluster.start()
        yield mine
    finally:
        cluster.close()


def test_logins_that_the_broker_refuses_are_named(start: Start, broker: LoginBroker) -> None:
    sasl = {
        "KAFKA_BOOTSTRAP_SERVERS": f"{HOST}:{broker.sasl}",
        "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "KAFKA_SASL_USERNAME": "tapeline",
        "KAFKA_SASL_PASSWORD": SECRET,
    }
    tls = {"KAFKA_BOOTSTRAP_SERVERS": f"{HOST}:{broker.tls}", "KAFKA_SECURITY_PROTOCOL": "SSL"}
    stranger = broker.authority.with_name("stranger.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
         "/CN=stranger", "-keyout", "/dev/null", "-out", str(stranger)],
        check=True, capture_output=True,
    )  # fmt: skip
    for changed, words in (
        (sasl, "KAFKA_SECURITY_PROTOCOL SASL_PLAINTEXT must be accepted"),
        ({**sasl, "KAFKA_SASL_MECHANISM": "SCRAM-SHA-256"}, "must be accepted by the broker"),
        ({**tls, "KAFKA_SSL_CA": str(stranger)}, "KAFKA_SECURITY_PROTOCOL SSL must be accepted"),
        ({**tls, "KAFKA_SSL_CA": str(broker.authority) + ".not"}, "KAFKA_SSL_CA must be a file"),
    ):
        found = start.refused("compute", changed)
        assert (found.status, words in found.said) == (EXIT_CONFIG, True), found.said


def test_the_right_password_and_certificate_let_a_worker_in(
    start: Start, broker: LoginBroker, tmp_path: Path
) -> None:
    """Or the tests above would be green for a worker that never starts."""
    plain = {"KAFKA_BOOTSTRAP_SERVERS": f"{HOST}:{broker.port}"}
    subprocess.run(
        [sys.executable, "-m", "app.cli", "topics", "apply"],
        cwd=ROOT, env={**start.env, **plain}, check=True, capture_output=True,
    )  # fmt: skip
    sasl = {
        "KAFKA_BOOTSTRAP_SERVERS": f"{HOST}:{broker.sasl}",
        "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "KAFKA_SASL_USERNAME": "tapeline",
        "KAFKA_SASL_PASSWORD": RIGHT,
    }
    tls = {
        "KAFKA_BOOTSTRAP_SERVERS": f"{HOST}:{broker.tls}",
        "KAFKA_SECURITY_PROTOCOL": "SSL",
        "KAFKA_SSL_CA": str(broker.authority),
    }
    for name, settings in (("sasl", sasl), ("tls", tls)):
        worker = Worker("compute", tmp_path / name, {**start.env, **settings})
        worker.wait_ready()
        assert worker.terminate() == 0
        assert RIGHT not in worker.log.read_text()
