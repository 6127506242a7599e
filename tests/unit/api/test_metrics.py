"""What Prometheus is told of the streams."""

import time

from app.api.metrics import ApiMetrics


def test_each_noun_is_counted_on_its_own() -> None:
    metrics, other = ApiMetrics(), ApiMetrics()
    for noun in ("quotes", "bars", "quotes"):
        metrics.sent(noun)
    now_ms = time.time_ns() // 1_000_000
    metrics.arrived("quotes", now_ms - 2_000)
    metrics.arrived("quotes", now_ms + 60_000)
    metrics.arrived("ticks", now_ms - 60_000)

    lines = metrics.text().decode().splitlines()

    assert 'tapeline_api_messages_total{noun="quotes"} 2.0' in lines
    assert 'tapeline_api_messages_total{noun="bars"} 1.0' in lines
    # An append that lies ahead of this clock took no time.
    assert 'tapeline_api_update_seconds_bucket{le="1.0",noun="quotes"} 1.0' in lines
    assert 'tapeline_api_update_seconds_bucket{le="5.0",noun="quotes"} 2.0' in lines
    assert 'tapeline_api_update_seconds_bucket{le="5.0",noun="ticks"} 0.0' in lines
    assert "noun=" not in other.text().decode()
