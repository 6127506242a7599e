"""What may be repeated of what a client sent: no secret, nothing long, nothing JSON cannot hold."""

import json
import math
import re
from typing import Any

LONGEST = 200
"""Characters of a value that are repeated."""
DEEPEST = 12
_KEY = re.compile(r"(tl_[A-Za-z0-9]{8})_[A-Za-z0-9_-]{20,}")
_TOKEN = re.compile(r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
_NAME = re.compile(r"secret|passw|token|credential|authori[sz]ation|cookie|api.?key", re.IGNORECASE)
_LONGEST_WHOLE_BITS = 1024
"""Longer ones are not written out: Python refuses 4,300 digits."""


def is_secret(name: str) -> bool:
    """Return whether what stands under `name` is a secret by its name."""
    return _NAME.search(name) is not None


def text_of(text: str) -> str:
    """Return text without API keys and JWTs; a key's id stays."""
    return _TOKEN.sub("***", _KEY.sub(r"\1_***", text))


def shown(value: Any) -> Any:
    """Return a value that JSON holds, without secrets, strings at most `LONGEST` characters."""
    return _shown(value, 0)


def body_of(body: bytes) -> Any:
    """Return a JSON body for the audit log; None when it is empty or no JSON."""
    try:
        return shown(json.loads(body)) if body else None
    except (ValueError, RecursionError):
        return None


def _shown(value: Any, depth: int) -> Any:
    if isinstance(value, dict | list | tuple):
        return "..." if depth >= DEEPEST else _each_shown(value, depth + 1)
    if isinstance(value, int) and value.bit_length() > _LONGEST_WHOLE_BITS:
        return "a very large number"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, int | float):
        return value
    return _cut(str(value))


def _each_shown(value: Any, depth: int) -> Any:
    if not isinstance(value, dict):
        return [_shown(each, depth) for each in value]
    return {
        _cut(str(name)): "***" if is_secret(str(name)) else _shown(each, depth)
        for name, each in value.items()
    }


def _cut(text: str) -> str:
    clean = text_of(text)
    return clean if len(clean) <= LONGEST else clean[:LONGEST] + "..."
