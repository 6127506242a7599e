"""Kafka brokers of one's own, to be stopped, killed and filled up: one, or three that replicate."""

import base64
import json
import random
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from infra.local import kafka
from infra.local.home import FREE_PORTS, HOST, Home, is_free

HEAP = ("-Xms384m", "-Xmx384m")
READY_WITHIN_S = 150.0
STOPPED_WITHIN_S = 40.0
LOG_SHOWN = 4_000
DIES_WITH_US = ("setpriv", "--pdeathsig", "KILL")
REPLICATED = {
    "default.replication.factor": "3",
    "min.insync.replicas": "2",
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    "share.coordinator.state.topic.replication.factor": "3",
    "share.coordinator.state.topic.min.isr": "2",
}

_taken: set[int] = set()


def free_port() -> int:
    """Return a port that nobody listens on, and that was not returned before."""
    for port in random.sample(FREE_PORTS, len(FREE_PORTS)):
        if port not in _taken and is_free(port):
            _taken.add(port)
            return port
    raise AssertionError("no port is free")


class Broker:
    """One node, broker and controller both.

    Args:
        node: Its number, from 1.
        folder: For its settings and its log.
        data: Where its logs of records go.
        proxied_by: Port of a proxy before its second listener, which names that port to clients.
    """

    def __init__(
        self, node: int, folder: Path, data: Path, *, proxied_by: int | None = None
    ) -> None:
        self.node, self.data = node, data
        self.port, self.controller_port = free_port(), free_port()
        self.proxied_by = proxied_by
        self.proxied_port = free_port() if proxied_by else None
        self._properties = folder / f"broker-{node}.properties"
        self._log = folder / f"broker-{node}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def configure(self, voters: str, more: Mapping[str, str]) -> None:
        """Write its settings."""
        listeners = {"PLAINTEXT": self.port, "CONTROLLER": self.controller_port}
        advertised = {"PLAINTEXT": self.port}
        if self.proxied_port and self.proxied_by:
            listeners["PROXIED"], advertised["PROXIED"] = self.proxied_port, self.proxied_by
        settings = {
            **kafka.SETTINGS,
            **more,
            "node.id": str(self.node),
            "listeners": ",".join(f"{n}://{HOST}:{p}" for n, p in listeners.items()),
            "advertised.listeners": ",".join(f"{n}://{HOST}:{p}" for n, p in advertised.items()),
            "listener.security.protocol.map": ",".join(f"{n}:PLAINTEXT" for n in listeners),
            "controller.quorum.voters": voters,
            "log.dirs": str(self.data),
        }
        self._properties.write_text("".join(f"{k}={v}\n" for k, v in settings.items()))

    def format(self, cluster: str) -> "subprocess.Popen[bytes]":
        """Begin to format its storage."""
        tool = ("kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(self._properties))
        return self._java("-XX:TieredStopAtLevel=1", tool)

    def launch(self) -> None:
        """Start it; it does not answer yet."""
        assert not self.is_running(), f"broker {self.node} runs already"
        self._process = self._java("-XX:+UseSerialGC", ("kafka.Kafka", str(self._properties)))

    def wait_ready(self) -> None:
        """Wait until it answers clients."""
        assert self._process is not None
        deadline = time.monotonic() + READY_WITHIN_S
        while not kafka._answers(self.port):
            assert self._process.poll() is None, f"broker {self.node} ended: {self.tail()}"
            assert time.monotonic() < deadline, f"broker {self.node} is silent: {self.tail()}"
            time.sleep(0.05)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self.launch()
        self.wait_ready()

    def stop(self) -> None:
        """Ask it to stop, and wait until it has."""
        self._end(signal.SIGTERM, STOPPED_WITHIN_S)

    def kill(self) -> None:
        """End it as a crash would."""
        self._end(signal.SIGKILL, STOPPED_WITHIN_S)

    def is_running(self) -> bool:
        """Return whether its process is there."""
        return self._process is not None and self._process.poll() is None

    def tail(self, limit: int = LOG_SHOWN) -> str:
        """Return the end of its log."""
        return self._log.read_text(errors="replace")[-limit:]

    def _end(self, number: signal.Signals, within_s: float) -> None:
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            self._process.send_signal(number)
        self._process.wait(within_s)

    def _java(self, option: str, program: Sequence[str]) -> "subprocess.Popen[bytes]":
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [
                    *(*DIES_WITH_US, kafka._java() or "java", *HEAP, option),
                    *("-XX:+ExitOnOutOfMemoryError", "-Djava.awt.headless=true"),
                    *kafka._classpath(Home.from_env()),
                    *program,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )


class Cluster:
    """Brokers in KRaft mode. Started from the thread that stays: they end with it.

    Args:
        folder: For settings, logs and, unless `data` says else, records.
        count: One or three brokers; three replicate to each other.
        data: Folder of the records, such as a small file system; one broker only.
        proxied_by: See `Broker`; one broker only.
    """

    def __init__(
        self,
        folder: Path,
        count: int = 1,
        *,
        data: Path | None = None,
        proxied_by: int | None = None,
    ) -> None:
        assert count == 1 or (data is None and proxied_by is None)
        kafka.fetch(Home.from_env())
        folder.mkdir(parents=True, exist_ok=True)
        self.brokers = [
            Broker(n, folder, data or folder / f"data-{n}", proxied_by=proxied_by)
            for n in range(1, count + 1)
        ]
        self.replication = min(count, 3)

    @property
    def bootstrap(self) -> str:
        """All brokers' own addresses."""
        return ",".join(f"{HOST}:{broker.port}" for broker in self.brokers)

    def start(self) -> None:
        """Format and start all, and wait until all answer."""
        voters = ",".join(f"{b.node}@{HOST}:{b.controller_port}" for b in self.brokers)
        cluster = base64.urlsafe_b64encode(uuid4().bytes).decode().rstrip("=")
        # Storage ids that begin with a dash read as an option.
        cluster = "A" + cluster[1:]
        for broker in self.brokers:
            broker.data.mkdir(parents=True, exist_ok=True)
            broker.configure(voters, REPLICATED if self.replication > 1 else {})
        formats = [broker.format(cluster) for broker in self.brokers]
        for broker, process in zip(self.brokers, formats, strict=True):
            assert process.wait(READY_WITHIN_S) == 0, f"formatting failed: {broker.tail()}"
        for broker in self.brokers:
            broker.launch()
        for broker in self.brokers:
            broker.wait_ready()

    def close(self) -> None:
        """Kill all."""
        for broker in self.brokers:
            broker.kill()

    def controller(self) -> Broker:
        """Return the controller that leads, as the quorum's newest record has it."""
        best = (-1, -1)
        for broker in self.brokers:
            state = json.loads((broker.data / "__cluster_metadata-0" / "quorum-state").read_text())
            best = max(best, (state["leaderEpoch"], state["leaderId"]))
        return self.broker(best[1])

    def broker(self, node: int) -> Broker:
        """Return a broker by its number."""
        return next(broker for broker in self.brokers if broker.node == node)

    def logs(self) -> list[tuple[str, str]]:
        """Return the ends of the brokers' logs, each with a title."""
        return [(f"log of broker {b.node}", b.tail()) for b in self.brokers]
