"""Logs: structlog, key-value, one line an event, on standard error. Nothing per record."""

import logging
import sys
from contextlib import suppress
from typing import TextIO

import structlog


class Lossy:
    """A stream that loses what cannot be written.

    A full disk under the log must not stop the flow, nor keep a process that ends itself alive.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, or lose it."""
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, or lose it."""
        with suppress(OSError):
            self._stream.flush()


def configure(level: str) -> None:
    """Write events of `level` and above to standard error.

    Args:
        level: A standard level name, such as ``INFO``.
    """
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=structlog.WriteLoggerFactory(Lossy(sys.stderr)),  # type: ignore[arg-type]
    )
