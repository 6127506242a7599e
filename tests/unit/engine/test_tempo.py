"""What changed is emitted soon while there is time, and never later than it must be."""

import pytest

from app.engine.tempo import SOONEST_S, Tempo

LONGEST_S = 0.1


def pause_s(cost_s: float, busy: float, rounds: int = 50) -> float:
    """Return the pause that a steady flow comes to."""
    now_s = 0.0
    tempo = Tempo(LONGEST_S, now_s)
    for _ in range(rounds):
        pause = tempo.due_s - now_s
        now_s += max(pause, 0.001)
        tempo.worked(busy * max(pause, 0.001))
        tempo.emitted(now_s, now_s + cost_s)
        now_s += cost_s
    return tempo.due_s - now_s


@pytest.mark.parametrize(
    ("cost_s", "busy", "expected_s"),
    [
        (0.0001, 0.0, SOONEST_S),
        (0.0001, 0.01, SOONEST_S),
        (0.0001, 1.0, 0.05),
        (0.004, 0.0, 0.032),
        (0.02, 0.0, LONGEST_S),
        (0.02, 1.0, LONGEST_S),
    ],
    ids=["quiet", "nearly", "busy", "many symbols", "very many", "all at once"],
)
def test_the_pause_follows_cost_and_load(cost_s: float, busy: float, expected_s: float) -> None:
    assert pause_s(cost_s, busy) == pytest.approx(expected_s, rel=0.1)


def test_the_first_is_due_at_once() -> None:
    assert Tempo(LONGEST_S, 7.0).due_s == 7.0


def test_a_short_longest_pause_is_kept() -> None:
    """Whoever asks for 1 ms gets it, whatever it costs."""
    tempo = Tempo(0.001, 0.0)
    tempo.emitted(0.0, 0.5)

    assert tempo.due_s == pytest.approx(0.501)
