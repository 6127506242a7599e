"""Streams that outlive their connections: made again with what was there already."""

from collections.abc import Callable

from app.client.backoff import Backoff
from app.client.effects import Close, Emit, Open, Pause, Receive, Send, Steps
from app.client.errors import ApiProblem, ClientError, Unreachable
from app.client.messages import Followed, Message

PATIENCE_S = 25.0
"""Longest silence: the API sends a heartbeat every 10 s."""

Handle = Callable[[Message | None], Steps[None]]
"""What to do with a message; None when a frame had nothing to tell, such as a heartbeat."""


def follow(
    followed: Followed, handle: Handle | None = None, patience_s: float = PATIENCE_S
) -> Steps[None]:
    """Follow streams for ever.

    A connection that breaks, or is silent, is made again after a pause, and goes on behind the
    last message that came. What will not be better later is raised.

    Raises:
        ApiProblem: The API refuses, and would again.
    """
    backoff = Backoff()
    handle = handle or _emitted
    while True:
        try:
            yield Open()
            for frame in followed.opening():
                yield Send(frame)
            while True:
                message = followed.take((yield Receive(patience_s)))
                if followed.beats:
                    # It has lasted: one that is cut at once is not tried ever again at once.
                    backoff.reset()
                yield from handle(message)
        except (ApiProblem, Unreachable) as error:
            yield Close()
            if not _may_pass(error):
                raise
            yield from handle(followed.status(connected=False))
            yield Pause(backoff.next_s(error.retry_after_s))


def _may_pass(error: ClientError) -> bool:
    return not isinstance(error, ApiProblem) or error.is_passing


def _emitted(message: Message | None) -> Steps[None]:
    if message is not None:
        yield Emit(message)
