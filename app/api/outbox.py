"""What one client is owed: the newest of what it subscribed to, no more than it can take.

Shape: updates are offered as they come, and taken out when the client can take them. A quote or a
bar that waits is replaced by its newer value, so a slow client costs one value a stream and gets
the newest one; ticks and anomalies wait in a bounded queue. Each message says how many values it
stands for (`merged`) and how many were left out before it (`missed`); `seq` rises by one with
each message of a stream, so that a client sees what was lost on the way.

A subscription is joined first and opened with its snapshot: what comes between is kept, and given
out unless the snapshot holds it already.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

import msgspec

from app.api.streams import Noun, Stream, Update

RATE, MOST_RATE = 100.0, 1000.0
"""Messages a second to one client: by default, and at most."""
THROTTLE = 1e-5
"""Share (0.001 %) by which the mid of a quote has to move, to be sent before `HELD_S`."""
HELD_S = 1.0
MOST_WAITING = 1_000
"""Values that wait of one stream."""


class Message(msgspec.Struct, omit_defaults=True):
    """One message about a stream, but for its envelope's encoding."""

    type: str
    stream: str
    seq: int
    token: str | None
    data: Any
    merged: int = 0
    missed: int = 0


class Subscription:
    """One stream of one client.

    Args:
        stream: Which.
        throttle: See `THROTTLE`; 0 sends every change.
    """

    __slots__ = (
        "_waiting", "is_open", "is_queued", "merged", "missed", "sent_at_s", "sent_mid", "seq",
        "stream", "throttle",
    )  # fmt: skip

    def __init__(self, stream: Stream, throttle: float) -> None:
        self.stream = stream
        self.throttle = throttle
        self.is_open = self.is_queued = False
        self.seq = self.merged = self.missed = 0
        self.sent_mid: float | None = None
        self.sent_at_s = float("-inf")
        self._waiting: dict[int, Update] = {}

    def offer(self, update: Update) -> None:
        """Keep an update until it is sent, or a newer one replaces it."""
        waiting = self._waiting
        older = waiting.get(update.about)
        if older is not None:
            self.merged += 1
            if update.rank < older.rank:
                return
            waiting[update.about] = update
            return
        if len(waiting) >= MOST_WAITING:
            del waiting[next(iter(waiting))]
            self.missed += 1
        waiting[update.about] = update

    def open(
        self, held: Iterable[Update], more: Iterable[Update] = (), now_s: float = float("-inf")
    ) -> None:
        """Let updates out: those that `held` does not contain already.

        Args:
            held: What the client has: its snapshot, or nothing when it resumes.
            more: Updates from before it joined, in the order of the log.
            now_s: When the client is given what it has.
        """
        came = list(self._waiting.values())
        self._waiting.clear()
        for update in (*more, *came):
            self.offer(update)
        self.merged = 0
        for update in held:
            waits = self._waiting.get(update.about)
            if waits is not None and waits.rank <= update.rank:
                del self._waiting[update.about]
            if update.mid is not None:
                self.sent_mid, self.sent_at_s = update.mid, now_s
        self.is_open = True

    def due_s(self) -> float | None:
        """Return from when on something may be sent; None when nothing waits."""
        if not self._waiting or not self.is_open:
            return None
        if self.throttle and self.sent_mid:
            mid = next(iter(self._waiting.values())).mid
            if mid is not None and abs(mid - self.sent_mid) < self.throttle * self.sent_mid:
                return self.sent_at_s + HELD_S
        return float("-inf")

    def take(self, now_s: float) -> Message:
        """Return the message of the update that has waited longest."""
        update = self._waiting.pop(next(iter(self._waiting)))
        self.seq += 1
        if update.mid is not None:
            self.sent_mid, self.sent_at_s = update.mid, now_s
        token = update.token
        if self._waiting and self.stream.noun is Noun.BARS:
            # A bar that was replaced goes out before others that are older: not to be skipped.
            least = min(each.token.offset for each in self._waiting.values())
            token = token._replace(offset=min(token.offset, least - 1))
        message = Message(
            "update", self.stream.name, self.seq, str(token), msgspec.Raw(update.body),
            self.merged, self.missed,
        )  # fmt: skip
        self.merged = self.missed = 0
        return message

    def first(self) -> Iterator[Update]:
        """Yield the update that has waited longest, if any waits."""
        yield from islice(self._waiting.values(), 1)

    @property
    def waits(self) -> bool:
        """Whether anything is owed."""
        return self.is_open and bool(self._waiting)


class Outbox:
    """All subscriptions of one client, and its rate.

    Args:
        wake: Called when there may be something to take out.
        rate: Messages a second; as many may come at once, one at least.
        now_s: The clock's reading.
    """

    def __init__(self, wake: Callable[[], None], rate: float, now_s: float) -> None:
        self._wake = wake
        self._subscriptions: dict[str, Subscription] = {}
        self._ready: deque[Subscription] = deque()
        self.rate = rate
        self._budget, self._budget_at_s = max(1.0, rate), now_s

    def add(self, stream: Stream, throttle: float) -> Subscription:
        """Begin a subscription, closed at first; one that was there is begun anew."""
        self.drop(stream.name)
        subscription = self._subscriptions[stream.name] = Subscription(stream, throttle)
        return subscription

    def drop(self, name: str) -> bool:
        """End a subscription; return whether it was there."""
        found = self._subscriptions.pop(name, None)
        if found is not None and found.is_queued:
            self._ready.remove(found)
        return found is not None

    def names(self) -> list[str]:
        """Return the names of the streams."""
        return list(self._subscriptions)

    def offer(self, update: Update) -> None:
        """Take an update of one of the streams."""
        subscription = self._subscriptions[update.stream]
        subscription.offer(update)
        self.mind(subscription)

    def mind(self, subscription: Subscription) -> None:
        """Look at a subscription again: it may have something to send."""
        if not subscription.is_queued and subscription.waits:
            subscription.is_queued = True
            self._ready.append(subscription)
            self._wake()

    def take(self, now_s: float) -> Iterator[Message]:
        """Yield what may be sent now, each stream in its turn."""
        earned = (now_s - self._budget_at_s) * self.rate
        self._budget = min(max(1.0, self.rate), self._budget + earned)
        self._budget_at_s = now_s
        passed = 0
        while passed < len(self._ready) and self._budget >= 1:
            subscription = self._ready.popleft()
            due_s = subscription.due_s()
            if due_s is not None and due_s > now_s:
                passed += 1
                self._ready.append(subscription)
                continue
            # Put back before it is given out: who takes may not come for more.
            message = subscription.take(now_s) if due_s is not None else None
            subscription.is_queued = subscription.waits
            if subscription.is_queued:
                self._ready.append(subscription)
            if message is not None:
                passed = 0
                self._budget -= 1
                yield message

    def waiting(self) -> Iterator[Update]:
        """Yield the update of each stream that has waited longest."""
        for subscription in self._ready:
            yield from subscription.first()

    def due_s(self, now_s: float) -> float | None:
        """Return when to take again; None when nothing waits."""
        times = [due for each in self._ready if (due := each.due_s()) is not None]
        if not times:
            return None
        lacking_s = max(0.0, 1 - self._budget) / self.rate
        return max(min(times), now_s + lacking_s)
