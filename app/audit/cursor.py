"""How far the logs were audited, and what is left to be judged: a small file under the home."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from app.audit.log import Offsets
from app.errors import ConfigError
from app.settings import Settings

VERSION = 1
OFFSETS = ("raw", "ticks", "kept", "bars", "letters", "clock", "newest_raw")


@dataclass
class Cursor:
    """What one audit leaves for the next.

    Attributes:
        raw: Next offset of each log, by partition; likewise ticks, bars, letters and clock.
        kept: First of ticks.v1 whose raw record is not judged yet.
        newest_raw: Highest raw offset among the ticks.
        streams: Rows of the table of that name: kind, venue, symbol, partition, stream time, and
            how far event times were ahead of Kafka's.
        clocks: The last tick of the clock of each partition.
        amendments: Rows of that table, of trades that may still be asked for.
        excluded: Rows of that table: ticks too late for their bars.
        open: Bars not judged yet: their key, when they are over, partition, first and last offset
            seen; and the offset of their newest emission where that was found wrong.
        at_s: When the audit ended, seconds since the epoch.
    """

    raw: Offsets = field(default_factory=dict)
    ticks: Offsets = field(default_factory=dict)
    kept: Offsets = field(default_factory=dict)
    bars: Offsets = field(default_factory=dict)
    letters: Offsets = field(default_factory=dict)
    clock: Offsets = field(default_factory=dict)
    newest_raw: Offsets = field(default_factory=dict)
    streams: list[Any] = field(default_factory=list)
    clocks: list[Any] = field(default_factory=list)
    amendments: list[Any] = field(default_factory=list)
    excluded: list[Any] = field(default_factory=list)
    open: list[Any] = field(default_factory=list)
    at_s: float = 0.0


def cursor_file(settings: Settings) -> Path:
    """Return where the cursor of a flow is kept."""
    name = f"{settings.topic_prefix}{settings.group}.json".replace("/", "_")
    return settings.home / "audit" / name


def load_cursor(path: Path) -> Cursor:
    """Return what was saved; an empty one, which begins with the logs, where nothing was.

    Raises:
        ConfigError: The file is none of ours.
    """
    try:
        given = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return Cursor()
    except (OSError, ValueError) as error:
        raise ConfigError(f"audit cursor {path} must be readable JSON ({error})") from None
    if not isinstance(given, dict) or given.pop("version", None) != VERSION:
        raise ConfigError(
            f"audit cursor {path} must be of version {VERSION}; without it the audit begins anew"
        )
    for name in OFFSETS:
        given[name] = {int(p): offset for p, offset in given[name].items()}
    return Cursor(**given)


def save_cursor(path: Path, cursor: Cursor) -> None:
    """Keep it, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps({"version": VERSION, **asdict(cursor)}), "utf-8")
    beside.replace(path)
