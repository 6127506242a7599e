"""F20: ten minutes at twice the nominal rate; memory, files and tasks stay as they are."""

import json

import pytest

from tests.fault.conftest import MakeTrial
from tests.fault.soak import NOMINAL_RATE, Course, Soak

MINUTES = 10


@pytest.mark.fault
@pytest.mark.timeout(60 * (MINUTES + 5))
def test_memory_files_and_tasks_are_flat_at_twice_the_nominal_rate(make_trial: MakeTrial) -> None:
    trial = make_trial()
    report = Soak(trial.world, 2 * NOMINAL_RATE, MINUTES).run()
    trial.line.note(**report)

    assert not report["faults"], json.dumps(report)


def course(mb_per_min: float, wave_mb: float) -> Course:
    """Return ten minutes of memory that grows, and goes up and down by itself besides."""
    found = Course()
    for n in range(120):
        at_s = 5.0 * n
        wave = wave_mb * ((n * 7) % 6) / 5
        found.add(at_s, resident_mb=300 + mb_per_min * at_s / 60 + wave)
    return found


@pytest.mark.parametrize("wave_mb", [0, 30])
@pytest.mark.parametrize("mb_per_min", [-0.5, 0.0, 0.9, 1.1, 5.0])
def test_a_leak_is_measured_under_the_waves(mb_per_min: float, wave_mb: float) -> None:
    slope = course(mb_per_min, wave_mb).slope_per_min(180.0, "resident_mb")

    assert slope == pytest.approx(mb_per_min, abs=0.09)


def test_the_warm_up_does_not_count() -> None:
    found = Course()
    for n in range(120):
        found.add(5.0 * n, resident_mb=300 + min(5.0 * n, 150.0))

    assert found.slope_per_min(180.0, "resident_mb") == 0
