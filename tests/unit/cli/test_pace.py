"""A rate is kept over the whole run."""

from app.cli.pace import Pace


class Clock:
    """Time that passes only by waiting."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def now(self) -> float:
        """Return the time."""
        return self.now_s

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now_s += seconds


def test_ticks_go_when_their_time_has_come() -> None:
    clock = Clock()
    pace = Pace(10, clock.now, clock.wait)

    for ticks in range(21):
        pace.wait(ticks)

    assert round(pace.elapsed_s, 6) == 2.0


def test_a_delay_is_caught_up() -> None:
    clock = Clock()
    pace = Pace(10, clock.now, clock.wait)
    clock.now_s += 1.5

    for ticks in range(21):
        pace.wait(ticks)

    assert round(pace.elapsed_s, 6) == 2.0


def test_no_rate_is_no_wait() -> None:
    clock = Clock()

    Pace(0, clock.now, clock.wait).wait(1_000_000)

    assert clock.now_s == 100.0
