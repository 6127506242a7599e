"""Differences are all counted, and so many kept; the last line is for programs."""

import duckdb

from app.audit.gauges import Gauges
from app.audit.report import Report


def test_all_differences_are_counted_and_the_first_of_each_kind_kept() -> None:
    report = Report(limit=2)
    report.add("I1", ({"what": "was lost", "bar": str(n)} for n in range(5)))
    with duckdb.connect() as db:
        query = "SELECT 'b' || n, 'open', '1', '2' FROM range(7) t(n)"
        assert report.add_query("I2", db, "has other values", query, where="Kafka") == 7

    assert report.mismatches == 12
    assert [each["invariant"] for each in report.differences] == ["I1", "I1", "I2", "I2"]
    assert report.differences[-1] == {
        "invariant": "I2", "what": "has other values", "where": "Kafka", "bar": "b1",
        "field": "open", "expected": "1", "found": "2",
    }  # fmt: skip


def test_the_last_line_holds_what_programs_read() -> None:
    report = Report()
    report.count("I2", bars=3)
    report.add("I5", [{"what": "is behind"}])

    line = report.line()

    assert (line["bars_checked"], line["mismatches"], line["differences"]) == (3, 1, {"I5": 1})


def test_gauges_tell_what_audits_found() -> None:
    gauges, report = Gauges(), Report()
    report.count("I2", bars=3)
    report.add("I2", [{"what": "has other values"}])
    gauges.audited(report)
    gauges.audited(report)

    def told(name: str, **labels: str) -> float | None:
        return gauges.registry.get_sample_value(f"tapeline_bar_audit_{name}", labels)

    assert told("mismatch_total", invariant="I2") == 2
    assert told("mismatch_total", invariant="I4") == 0
    assert told("bars_total") == 6
    age_s = told("age_seconds")
    assert age_s is not None
    assert 0 <= age_s < 60
