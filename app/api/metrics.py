"""What the API measures of itself, for Prometheus; labels from closed sets."""

import time
from typing import TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    start_http_server,
)

from app.breaker import State

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)

M = TypeVar("M", Counter, Histogram)


class _ByNoun(dict[str, M]):
    """A metric's children: `labels` takes a lock and checks its arguments, for each message."""

    def __init__(self, metric: M) -> None:
        super().__init__()
        self._metric: M = metric

    def __missing__(self, noun: str) -> M:
        child = self[noun] = self._metric.labels(noun)
        return child


class ApiMetrics:
    """Counters and gauges of one API process."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._requests = Histogram(
            "tapeline_api_request_seconds", "Answers by route and status", ["route", "status"],
            buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self._clients = Gauge(
            "tapeline_api_clients", "Clients that are connected", ["protocol"], registry=registry
        )
        self._sent = _ByNoun(Counter(
            "tapeline_api_messages_total", "Messages given to clients", ["noun"], registry=registry
        ))  # fmt: skip
        self._arrived = _ByNoun(Histogram(
            "tapeline_api_update_seconds", "From Kafka's append to the hub", ["noun"],
            buckets=_SECONDS, registry=registry,
        ))  # fmt: skip
        self._breakers = Gauge(
            "tapeline_api_breaker_state", "Server called (0), tried once (1), left alone (2)",
            ["server"], registry=registry,
        )  # fmt: skip
        self._connected = 0

    def serve(self, port: int) -> None:
        """Answer Prometheus on 127.0.0.1, as the workers do; 0 serves nothing."""
        if port:
            start_http_server(port, "127.0.0.1", self.registry)

    def request(self, route: str, status: int, seconds: float) -> None:
        """A request was answered; `route` is the template, not the path."""
        self._requests.labels(route, str(status)).observe(seconds)

    def joined(self, protocol: str) -> None:
        """A client came."""
        self._connected += 1
        self._clients.labels(protocol).inc()

    def left(self, protocol: str) -> None:
        """A client went."""
        self._connected -= 1
        self._clients.labels(protocol).dec()

    @property
    def clients(self) -> int:
        """How many clients are connected."""
        return self._connected

    def sent(self, noun: str) -> None:
        """A message was given to a client's connection."""
        self._sent[noun].inc()

    def arrived(self, noun: str, append_ms: int) -> None:
        """An update came from its topic."""
        self._arrived[noun].observe(max(0.0, time.time() - append_ms / 1000))

    def breaker(self, server: str, state: State) -> None:
        """A circuit breaker has changed its state."""
        self._breakers.labels(server).set(state.value)

    def text(self) -> bytes:
        """Return all of it in Prometheus' text format."""
        return generate_latest(self.registry)
