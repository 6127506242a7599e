"""How often the engine does what it does."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cadence:
    """How often things happen, in seconds.

    Attributes:
        emit_every_s: Between two emissions of what changed, at most (`app.engine.tempo`).
        checkpoint_every_s: Between two checkpoints.
        clock_every_s: Between two times that a stage is told the time.
        ask_time_every_s: Between two times that the broker is asked for its time.
        stuck_after_s: Without progress for so long, with records to read, the process ends.
        restore_within_s: State not restored for so long after an assignment, likewise.
    """

    emit_every_s: float
    checkpoint_every_s: float
    stuck_after_s: float = 60.0
    restore_within_s: float = 80.0  # Faust gives up its recovery, silently, after 90 s
    clock_every_s: float = 1.0
    ask_time_every_s: float = 60.0
