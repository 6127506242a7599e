"""What audits found, for Prometheus."""

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

from app.audit.report import Report

INVARIANTS = ("I1", "I2", "I4", "I5", "I6")


class Gauges:
    """Counters and gauges of one auditor."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._ended_s = time.time()
        self._mismatches = Counter(
            "tapeline_bar_audit_mismatch_total", "Differences found", ["invariant"],
            registry=self.registry,
        )  # fmt: skip
        self._bars = Counter(
            "tapeline_bar_audit_bars_total", "Closed bars recomputed", registry=self.registry
        )
        self._failures = Counter(
            "tapeline_bar_audit_failures_total", "Audits that could not be made",
            registry=self.registry,
        )  # fmt: skip
        self._seconds = Gauge(
            "tapeline_bar_audit_seconds", "Time the last audit took", registry=self.registry
        )
        age = Gauge(
            "tapeline_bar_audit_age_seconds", "Since the last audit ended", registry=self.registry
        )
        age.set_function(lambda: time.time() - self._ended_s)
        for invariant in INVARIANTS:
            self._mismatches.labels(invariant)

    def serve(self, port: int) -> None:
        """Answer Prometheus on 127.0.0.1; 0 serves nothing."""
        if port:
            start_http_server(port, "127.0.0.1", self.registry)

    def audited(self, report: Report) -> None:
        """An audit has ended."""
        self._ended_s = time.time()
        for invariant, count in report.counts.items():
            self._mismatches.labels(invariant).inc(count)
        line = report.line()
        self._bars.inc(line["bars_checked"])
        self._seconds.set(line["seconds"])

    def failed(self) -> None:
        """An audit could not be made."""
        self._failures.inc()
