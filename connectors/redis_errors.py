"""What Redis's errors mean to us."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import redis
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError

from app.errors import LoginRefused, StoreError, StoreRejected, StoreUnavailable

_LOGIN = (AuthenticationError, NoPermissionError)
_LOGIN_CODES = ("NOAUTH", "WRONGPASS", "NOPERM")
_OF_THE_CLIENT = re.compile(r"\ACommand # \d+ \(.*\) of pipeline caused error: ", re.DOTALL)
"""What redis-py puts before the server's words, with the whole command, in a pipeline."""


@contextmanager
def translating() -> Iterator[None]:
    """Raise our errors for Redis's."""
    try:
        yield
    except RedisError as error:
        raise translated(error) from error


def translated(error: RedisError, where: str = "") -> StoreError:
    """Return our error for Redis's.

    Refused for good is only what speaks of these very commands. All else (no connection, no
    answer, LOADING, BUSY, READONLY, out of memory, no permission) can be mended from outside.
    """
    text = _OF_THE_CLIENT.sub("", str(error))
    # The client strips the code ERR and keeps the others, such as BUSY, MISCONF and NOREPLICAS.
    code = next(iter(text.split()), "")
    is_final = isinstance(error, redis.DataError) or (
        type(error) is ResponseError and (code == "WRONGTYPE" or not code.isupper())
    )
    message = f"Redis: {where}{text or type(error).__name__}"
    if isinstance(error, _LOGIN) or code in _LOGIN_CODES or "certificate" in message:
        return LoginRefused(message)
    return (StoreRejected if is_final else StoreUnavailable)(message)
