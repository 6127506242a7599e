"""The observer as a process that a bench starts, listens to and ends."""

import json
import subprocess
import sys

from tests.bench.ground import ROOT, BenchFailed, Ground
from tests.bench.observer import Wish
from tests.bench.probes import Probes, Sighting
from tests.bench.watch import Watch

END_WITHIN_S = 60.0


class Eyes:
    """The observer.

    Args:
        here: Where the bench runs.
        probes: What it watches for.
        url: The API's WebSocket.
        page: Whether it opens the page of the same API, too.

    Attributes:
        watch: Its CPU, and Chromium's.
    """

    def __init__(self, here: Ground, probes: Probes, url: str, *, page: bool) -> None:
        settings = here.settings
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.observer"],
            cwd=ROOT, env=here.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.watch = Watch(self._process.pid)
        wish = Wish(
            here.client, settings.topic_prefix, settings.partitions, settings.redis_url,
            settings.redis_prefix, here.env["POSTGRES_URL"], url, list(probes.symbols), page,
        )  # fmt: skip
        assert self._process.stdin
        self._process.stdin.write(json.dumps(wish._asdict()) + "\n")
        self._process.stdin.flush()

    def expect(self, word: str) -> None:
        """Wait until it says so."""
        assert self._process.stdout
        if (said := self._process.stdout.readline().strip()) != word:
            raise BenchFailed(f"the observer must say {word}, said {said!r}")

    def end(self) -> dict[str, list[Sighting]]:
        """Return what it saw, by place."""
        out, _ = self._process.communicate(timeout=END_WITHIN_S)
        if self._process.returncode:
            raise BenchFailed(f"the observer ended with {self._process.returncode}")
        found: dict[str, list[Sighting]] = json.loads(out)
        return found

    def close(self) -> None:
        """End it, whatever it does."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()
        self.watch.stop()
