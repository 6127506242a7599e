"""What is measured of access."""

from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge

Reason = Literal["unauthenticated", "forbidden", "over_limit", "unavailable"]


class Meter:
    """Counters and gauges, in the registry that the process serves."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._refused = Counter(
            "tapeline_api_refused_requests_total",
            "Requests and handshakes refused before anything was done",
            ["reason"],
            registry=registry,
        )
        self._local = Gauge(
            "tapeline_api_local_limits",
            "Limits counted by each process alone, because Redis is away (1)",
            registry=registry,
        )
        self._unwritten = Counter(
            "tapeline_api_unwritten_outcomes_total",
            "Admin calls whose outcome is not in the audit log",
            registry=registry,
        )

    def refused(self, reason: Reason) -> None:
        """A request was refused."""
        self._refused.labels(reason).inc()

    def limits_shared(self, is_shared: bool) -> None:
        """Limits are counted by all processes together, or not."""
        self._local.set(not is_shared)

    def outcome_unwritten(self) -> None:
        """An admin call was made and how it ended could not be written."""
        self._unwritten.inc()
