"""Logs: structlog, key-value, one line an event, on standard error. Nothing per record."""

import logging
import sys

import structlog


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
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
