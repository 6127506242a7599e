"""Apache Kafka as one KRaft node, from jars that Maven fetches once."""

import base64
import hashlib
import os
import re
import shlex
import shutil
import socket
import struct
import subprocess
import sys
from pathlib import Path

from infra.local.home import HOST, Home
from infra.local.process import Service, StackError

NAME = "kafka"
PORTS = ("kafka", "kafka_controller")

SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    # Topics are what the repository says: `tapeline topics apply` makes them.
    "auto.create.topics.enable": "false",
    # Retention counts from the append, or a replay of old ticks is deleted at once.
    "log.message.timestamp.type": "LogAppendTime",
    "message.max.bytes": "16777216",
    "replica.fetch.max.bytes": "16777216",
    "offsets.topic.num.partitions": "8",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    # One laptop waits for no other members, and fault tests want a dead one noticed soon.
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "3000",
    # After a kill -9 the broker must wait until its former self is given up (default 9 s).
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    "num.network.threads": "2",
    "num.io.threads": "4",
    # The default, 128 MB, is a quarter of the heap.
    "log.cleaner.dedupe.buffer.size": "33554432",
}
"""What both the local and the Compose broker are given; a test compares them."""

DEFAULT_HEAP = "-Xms256m -Xmx512m"
OLDEST_JAVA = 17

_HERE = Path(__file__).parent
_POM = _HERE / "pom.xml"


def service(home: Home) -> Service:
    """Return the broker as it runs on the recorded ports."""
    port = home.port("kafka")
    heap = shlex.split(os.environ.get("TAPELINE_KAFKA_HEAP_OPTS") or DEFAULT_HEAP)
    return Service(
        name=NAME,
        argv=[
            *(_java() or "java", *heap),
            "-XX:+UseG1GC",
            "-XX:MaxGCPauseMillis=20",
            "-XX:+ExitOnOutOfMemoryError",
            "-Djava.awt.headless=true",
            *_classpath(home),
            *("kafka.Kafka", str(_properties(home))),
        ],
        pidfile=home.run / "kafka.json",
        log=home.logs / "kafka.log",
        is_ready=lambda: _answers(port),
        # A large log is recovered after a kill -9 before the broker answers.
        ready_timeout_s=120,
        stop_timeout_s=30,
    )


def missing() -> list[str]:
    """Return the Debian packages without which it cannot start."""
    return [] if _java() else ["openjdk-17-jre-headless"]


def version() -> str:
    """Return the broker's version, from the committed pom."""
    found = re.search(r"<kafka\.version>([^<]+)<", _POM.read_text())
    if found is None:
        raise StackError(f"{_POM} names no kafka.version")
    return found[1]


def fetch(home: Home) -> None:
    """Copy the jars that the pom names, unless its stamp says they are there.

    Raises:
        StackError: There is no Maven, or it failed; the message ends with what it said.
    """
    jars = home.downloads / "jars"
    stamp = jars / "pom.sha256"
    wanted = hashlib.sha256(_POM.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    maven = shutil.which("mvn")
    if maven is None:
        raise StackError("kafka's jars are not there yet: apt-get install maven fetches them")
    print("kafka     fetching jars", file=sys.stderr)
    partial = home.downloads / "jars.partial"
    shutil.rmtree(partial, ignore_errors=True)
    command = [maven, "--batch-mode", "--strict-checksums", "--file", str(_POM)]
    goal = ["dependency:copy-dependencies", "-DincludeScope=runtime"]
    log = home.logs / "maven.log"
    with log.open("wb") as output:
        done = subprocess.run(
            [*command, *goal, f"-DoutputDirectory={partial}"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode:
        errors = [line for line in log.read_text().splitlines() if line.startswith("[ERROR]")]
        raise StackError("fetching kafka's jars failed, see " + "\n".join([str(log), *errors[:3]]))
    (partial / "pom.sha256").write_text(wanted)
    shutil.rmtree(jars, ignore_errors=True)
    partial.rename(jars)


def prepare(home: Home) -> None:
    """Fetch the jars, write the broker's settings, format its storage; each if needed.

    Raises:
        StackError: Maven or the formatting failed; the message ends with what they said.
    """
    fetch(home)
    _properties(home).write_text(properties(home))
    data = home.data / "kafka"
    data.mkdir(parents=True, exist_ok=True)
    # Written last by the formatter, so it stands for a complete format.
    if (data / "meta.properties").exists():
        return
    cluster = base64.urlsafe_b64encode(bytes.fromhex(home.identity())).decode().rstrip("=")
    format_storage = ["kafka.tools.StorageTool", "format", "-t", cluster.replace("-", "_")]
    done = subprocess.run(
        [
            *(_java() or "java", "-XX:TieredStopAtLevel=1", *_classpath(home)),
            *(*format_storage, "-c", str(_properties(home)), "--ignore-formatted"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = "\n".join((done.stdout + done.stderr).splitlines()[-8:])
        raise StackError(f"formatting {data} for kafka failed:\n{said}{_java_hint(said)}")


def complete(home: Home) -> None:
    """Nothing is left to do once it answers."""


def properties(home: Home) -> str:
    """Return the text of ``server.properties`` for the recorded ports.

    With ``TAPELINE_KAFKA_PROXIED=LISTEN:ADVERTISED`` there is a second listener that names
    a proxy's port to its clients, or they would go round the proxy after the first answer.
    """
    port, controller = home.port("kafka"), home.port("kafka_controller")
    listeners = {"PLAINTEXT": port, "CONTROLLER": controller}
    advertised = {"PLAINTEXT": port}
    if proxied := os.environ.get("TAPELINE_KAFKA_PROXIED"):
        found = re.fullmatch(r"(\d+):(\d+)", proxied)
        if found is None:
            raise StackError(f"TAPELINE_KAFKA_PROXIED must be LISTEN:ADVERTISED, was {proxied!r}")
        listeners["PROXIED"], advertised["PROXIED"] = int(found[1]), int(found[2])
    own = {
        "listeners": ",".join(f"{name}://{HOST}:{p}" for name, p in listeners.items()),
        "advertised.listeners": ",".join(f"{name}://{HOST}:{p}" for name, p in advertised.items()),
        "listener.security.protocol.map": ",".join(f"{name}:PLAINTEXT" for name in listeners),
        "controller.quorum.voters": f"{SETTINGS['node.id']}@{HOST}:{controller}",
        "log.dirs": str(home.data / "kafka"),
    }
    return "".join(f"{key}={value}\n" for key, value in {**SETTINGS, **own}.items())


def _properties(home: Home) -> Path:
    return home.run / "kafka.properties"


def _classpath(home: Home) -> list[str]:
    logging = f"-Dlog4j2.configurationFile={_HERE / 'log4j2.xml'}"
    return [logging, "-cp", f"{home.downloads / 'jars'}/*"]


def _java() -> str | None:
    own = os.environ.get("JAVA_HOME")
    return (shutil.which("java", path=f"{own}/bin") if own else None) or shutil.which("java")


def _java_hint(said: str) -> str:
    if "UnsupportedClassVersionError" not in said:
        return ""
    return f"\nIt needs Java {OLDEST_JAVA} or newer: apt-get install openjdk-17-jre-headless"


def _answers(port: int) -> bool:
    """Ask for the API versions (key 18, version 0): answered once the broker is unfenced."""
    request = struct.pack(">hhih", 18, 0, 1, -1)
    try:
        with socket.create_connection((HOST, port), timeout=1) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            # Size, the correlation id sent above, error code 0.
            answer = connection.recv(10, socket.MSG_WAITALL)
    except OSError:
        return False
    return answer[4:] == struct.pack(">ih", 1, 0)
