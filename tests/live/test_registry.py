"""The schemas in a real registry: Apicurio, fetched once from Maven Central, in memory."""

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import httpx
import pytest

from app import topics
from app.errors import RegistryUnavailable
from connectors.registry import (
    ConfluentRegistry,
    SchemaRefused,
    UnregisteredId,
    open_registry,
    subject_of,
)
from schemas.block import decode
from schemas.record import RecordCodec
from schemas.registry import canonical, current
from tests.unit.schemas.records import tick

pytestmark = pytest.mark.live

VERSION = "2.6.13.Final"
START_S = 150.0


class Apicurio:
    """A registry of the test's own, without any schema at its start."""

    def __init__(self, folder: Path) -> None:
        self._jar = next(folder.glob("*-runner.jar"))
        with closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}/apis/ccompat/v7"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, log: Path) -> None:
        """Return when it answers."""
        environment = {
            **os.environ,
            "QUARKUS_HTTP_HOST": "127.0.0.1",
            "QUARKUS_HTTP_PORT": str(self._port),
        }
        options = ["-Xmx256m", "-XX:TieredStopAtLevel=1"]
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                ["java", *options, "-jar", str(self._jar)],
                env=environment, stdout=output, stderr=subprocess.STDOUT,
            )  # fmt: skip
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self._process.poll() is None:
            with suppress(httpx.HTTPError):
                if httpx.get(f"{self.url}/subjects", timeout=1.0).is_success:
                    return
            time.sleep(0.1)
        pytest.fail(f"the registry did not start: {log.read_text()[-2000:]}")

    def stop(self) -> None:
        """End it."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None


def fetched() -> Path:
    """Return the folder of the registry's jars, fetched if they are not there."""
    home = Path(os.environ.get("TAPELINE_HOME") or Path.home() / ".local/share/tapeline")
    downloads = home / "downloads"
    folder = downloads / f"apicurio-{VERSION}"
    if folder.exists():
        return folder
    maven = shutil.which("mvn")
    if maven is None:
        pytest.fail("the registry is not there yet: apt-get install maven fetches it")
    partial = downloads / f"apicurio-{VERSION}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    artifact = f"io.apicurio:apicurio-registry-app:{VERSION}:tar.gz:all"
    subprocess.run(
        [maven, "--batch-mode", "--quiet", "--strict-checksums",
         "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy",
         f"-Dartifact={artifact}", f"-DoutputDirectory={partial}"],
        check=True, stdin=subprocess.DEVNULL, cwd=downloads,
    )  # fmt: skip
    archive = next(partial.glob("*.tar.gz"))
    # tarfile's safe filter came with Python 3.11.4, and Debian 12 has 3.11.2.
    subprocess.run(["tar", "-xzf", str(archive), "-C", str(partial)], check=True)
    archive.unlink()
    partial.rename(folder)
    return folder


@pytest.fixture(scope="module")
def apicurio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apicurio]:
    server = Apicurio(fetched())
    server.start(tmp_path_factory.mktemp("registry") / "log")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def registered(apicurio: Apicurio) -> Iterator[ConfluentRegistry]:
    with closing(ConfluentRegistry(apicurio.url)) as registry:
        registry.register()
        yield registry


def test_what_is_registered_is_read_back_by_its_id(registered: ConfluentRegistry) -> None:
    for topic in topics.ALL:
        schema = registered.writer(registered.id_of(topic.schema))
        assert canonical(schema) == canonical(current(topic.schema))


def test_registering_again_changes_no_id(registered: ConfluentRegistry) -> None:
    first, second = registered.register(), registered.register()

    assert first == second
    assert len(first) == len(topics.ALL)


def test_topics_of_one_schema_share_its_id(registered: ConfluentRegistry) -> None:
    """A value goes from ticks.raw.v1 to ticks.v1 without a new frame."""
    ids = dict(registered.register())

    assert ids[subject_of(topics.RAW)] == ids[subject_of(topics.TICKS)]


def test_records_are_framed_with_the_registrys_ids(registered: ConfluentRegistry) -> None:
    codec = RecordCodec("tick", registered)
    value = codec.encode(tick(price="0.1"))

    assert int.from_bytes(value[1:5], "big") == registered.id_of("tick")
    assert codec.decode(value) == tick(price="0.1")
    assert decode([value], "tick", registered).bad == []


@pytest.mark.parametrize("topic", topics.ALL, ids=lambda topic: topic.name)
def test_the_registry_too_refuses_an_incompatible_change(
    apicurio: Apicurio, registered: ConfluentRegistry, topic: topics.Topic
) -> None:
    schema = {**current(topic.schema)}
    schema["fields"] = [{"name": "added", "type": "string"}, *schema["fields"]]

    answer = httpx.post(
        f"{apicurio.url}/subjects/{subject_of(topic)}/versions",
        json={"schema": json.dumps(schema)},
    )

    assert answer.status_code == httpx.codes.CONFLICT
    assert "added" in answer.text


def test_an_incompatible_schema_of_ours_is_refused_with_the_registrys_reason(
    apicurio: Apicurio, registered: ConfluentRegistry
) -> None:
    """The subject of another record has versions ours cannot follow."""
    bars_as_ticks = topics.Topic(topics.TICKS.name, "clock", "delete")

    with pytest.raises(SchemaRefused, match=r"ticks\.v1-value"):
        registered.register([bars_as_ticks])


def test_an_id_that_was_never_given_is_unknown(registered: ConfluentRegistry) -> None:
    with pytest.raises(UnregisteredId, match="999999"):
        registered.writer(999_999)


def test_known_ids_work_on_while_the_registry_is_down(tmp_path: Path) -> None:
    server = Apicurio(fetched())
    server.start(tmp_path / "log")
    with closing(ConfluentRegistry(server.url, timeout_s=1.0)) as registry:
        try:
            registry.register()
            known = registry.id_of("tick")
            registry.writer(known)
        finally:
            server.stop()

        assert registry.id_of("tick") == known
        assert registry.writer(known)["name"] == "Tick"
        with pytest.raises(RegistryUnavailable):
            registry.writer(known + 1_000)


def test_without_a_url_the_registry_is_the_one_built_in() -> None:
    assert open_registry("").id_of("tick") == 1
