"""Time spent in named functions, each without the named functions it calls."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any, NamedTuple

from tests.bench.ground import BenchFailed


class Timed(NamedTuple):
    """A function under the watch: `label`s add up, `owner` is a module or a class."""

    label: str
    owner: Any
    name: str


class Stopwatch:
    """Wall and CPU seconds by label, for work that is done one thing after the other.

    Attributes:
        wall_s: Seconds by label.
        cpu_s: CPU seconds of the whole process, all threads, by label.
    """

    def __init__(self) -> None:
        self.wall_s: dict[str, float] = {}
        self.cpu_s: dict[str, float] = {}
        self._inner = [(0.0, 0.0)]

    @contextmanager
    def timing(self, label: str) -> Iterator[None]:
        """Count the body under `label`, what it times itself apart."""
        self._inner.append((0.0, 0.0))
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            inner_wall, inner_cpu = self._inner.pop()
            self.wall_s[label] = self.wall_s.get(label, 0.0) + wall - inner_wall
            self.cpu_s[label] = self.cpu_s.get(label, 0.0) + cpu - inner_cpu
            outer_wall, outer_cpu = self._inner[-1]
            self._inner[-1] = outer_wall + wall, outer_cpu + cpu

    @contextmanager
    def watching(self, functions: Sequence[Timed]) -> Iterator[None]:
        """Time every call of `functions` while the body runs.

        Raises:
            BenchFailed: There is no such function: the table would lack a row in silence.
        """
        missing = [f"{each.owner.__name__}.{each.name}" for each in missing_of(functions)]
        if missing:
            raise BenchFailed(f"tests/bench/stages.py names what is not there: {missing}")
        was = [(each.owner, each.name, getattr(each.owner, each.name)) for each in functions]
        try:
            for each, (_, _, function) in zip(functions, was, strict=True):
                setattr(each.owner, each.name, self._timed(each.label, function))
            yield
        finally:
            for owner, name, function in reversed(was):
                setattr(owner, name, function)

    def _timed(self, label: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.timing(label):
                return function(*args, **kwargs)

        return timed


def missing_of(functions: Sequence[Timed]) -> list[Timed]:
    """Return those that are not there."""
    return [each for each in functions if not hasattr(each.owner, each.name)]
