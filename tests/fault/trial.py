"""One trial: a world, what flows into it, and the judgement once the fault is over."""

import random
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Self

from tests.fault.line import Line
from tests.live.feed import START_US, Feed, Pair, market, mixed
from tests.live.verifier import Snapshot, verify
from tests.live.world import READS, World
from tests.poison import MEGABYTE, corpus

RATE = 20_000
SYMBOLS = [f"{base}/USD" for base in ("BTC", "ETH", "SOL", "DOGE", "ADA", "LTC", "XRP", "DOT")]
BURST, CHUNK = 10_000, 5_000
WORKERS = ("compute", "hot", "warm")


class Flow:
    """Ticks that flow from a thread of their own while something is harmed.

    Args:
        feed: Where they go.
        chunks: The ticks; when all are sent, the flow ends.
        rate: So many a second.

    Attributes:
        sent: How many were handed to the producer so far.
        pairs: What they were, once the flow is closed.
        per_s: How many a second it came to.
    """

    def __init__(self, feed: Feed, chunks: Iterable[Sequence[Pair]], rate: float) -> None:
        self._feed, self._chunks, self._rate = feed, chunks, rate
        self.pairs: list[Pair] = []
        self.per_s = 0
        self._stopped = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="flow", daemon=True)
        self.sent = 0

    def stop(self) -> None:
        """Send no more."""
        self._stopped.set()

    def wait(self, count: int) -> None:
        """Wait until so many were sent."""
        while self.sent < count:
            assert self._thread.is_alive() or self.sent >= count, (
                f"the flow ended at {self.sent}, before {count}: {self._error}"
            )
            time.sleep(0.005)

    def wait_s(self, seconds: float) -> None:
        """Wait until so many seconds' worth of ticks more were sent."""
        self.wait(self.sent + int(self._rate * seconds))

    def _run(self) -> None:
        began = time.monotonic()
        try:
            for chunk in self._chunks:
                before = sent = len(self.pairs)
                for count in self._feed.send_at(self._rate, chunk):
                    sent = self.sent = before + count
                    if self._stopped.is_set():
                        break
                self.pairs += chunk[: sent - before]
                if self._stopped.is_set():
                    return
        except Exception as error:  # noqa: BLE001 - raised where the flow is closed
            self._error = error
        finally:
            self.per_s = round(self.sent / (time.monotonic() - began))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            self.stop()
        self._thread.join()
        if self._error is not None:
            raise self._error


class Trial:
    """A world of one's own under a fault.

    Args:
        world: Opened.
        line: Takes the numbers.
        seed: Of all that is random.
    """

    def __init__(self, world: World, line: Line, seed: int) -> None:
        self.world, self.line, self.seed = world, line, seed
        self.dice = random.Random(seed)
        self.poison: set[Pair] = set()
        self._acknowledged = Counter[Pair]()
        self._flows = 0

    def ticks(self, count: int, *, poisoned: float = 0.01) -> list[Pair]:
        """Return so many ticks of a venue of their own, some twice, and poison among them."""
        self._flows += 1
        seed, venue = 100 * self.seed + self._flows, f"VENUE{self._flows}"
        kinds = [
            each
            for each in corpus(SYMBOLS[0], venue, START_US, time.time_ns() // 1000, mark=venue)
            if len(each.value or b"") < MEGABYTE // 2
        ]
        ticks = market(seed, count, venue=venue, symbols=SYMBOLS)
        if not poisoned:
            return ticks
        self.poison.update((each.key, each.value) for each in kinds)
        return mixed(seed, ticks, kinds, poisoned)

    @contextmanager
    def flow(self, pairs: Sequence[Pair] | None = None, rate: float = RATE) -> Iterator[Flow]:
        """Let ticks flow until the context is left; at the end all are acknowledged.

        Args:
            pairs: Send these, all of them, and no more.
            rate: So many a second.
        """
        chunks = self._endless() if pairs is None else [pairs]
        with self.world.feed() as feed, Flow(feed, chunks, rate) as flow:
            yield flow
            if pairs is None:
                flow.stop()
        self._acknowledged.update(flow.pairs)

    def burst(self, count: int = BURST) -> None:
        """Send so many ticks as fast as it goes: what is harmed next is in the middle of them."""
        with self.flow(self.ticks(count), 10 * RATE):
            pass

    def _endless(self) -> Iterator[list[Pair]]:
        while True:
            yield self.ticks(CHUNK)

    def judge(self, *, within_s: float = 30.0, replay: bool = False) -> None:
        """Settle (I5), then judge all that was ever sent into the world.

        Args:
            within_s: How soon all must be settled; the invariant says 30 s.
            replay: Whether to rewind all groups afterwards, and to see that nothing changes (I3).
        """
        try:
            self.line.recovered(self.world.settle(within_s=within_s))
        except AssertionError as stuck:
            self.line.judged("I5", [str(stuck)])
            raise
        verdict = verify(self.world.outside, poison=self.poison)
        raw = Counter((r.key, r.value) for r in self.world.outside.log("ticks.raw.v1"))
        lost, more = self._acknowledged - raw, raw - self._acknowledged
        verdict.blame(
            "I1",
            [
                f"{n} of {pair} was acknowledged, and is not in ticks.raw.v1"
                for pair, n in lost.items()
            ]
            + [
                f"{n} of {pair} is in ticks.raw.v1 beyond what was sent" for pair, n in more.items()
            ],
            acknowledged=self._acknowledged.total(),
        )
        self.line.take(verdict)
        assert not verdict.faults, "\n".join(verdict.faults)
        if replay:
            self.replay()

    def replay(self) -> None:
        """I3: rewind every group to the beginning; not a byte of the stores may change."""
        before = Snapshot.of(self.world.outside)
        self.world.retire()
        for role, read in READS.items():
            self.world.outside.rewind(f"tapeline-{role}", read)
        self.world.started(*WORKERS)
        self.world.settle()
        after = Snapshot.of(self.world.outside)
        faults = [
            f"{name} changed by a replay"
            for name in ("postgres", "redis", "ticks", "bars")
            if getattr(before, name) != getattr(after, name)
        ]
        self.line.judged("I3", faults, bars_replayed=after.bars, ticks_replayed=after.ticks)
        assert not faults, faults
