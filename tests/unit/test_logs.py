"""Where logs go when they cannot be written."""

from contextlib import suppress
from pathlib import Path

from app.logs import Lossy


def test_a_log_on_a_full_disk_loses_lines_and_raises_nothing() -> None:
    """/dev/full takes no byte."""
    full = Path("/dev/full").open("w", buffering=1)  # noqa: SIM115 - closing it raises, too
    log = Lossy(full)
    for _ in range(10_000):
        log.write("a line of a log\n")
        log.flush()
    with suppress(OSError):
        full.close()


def test_what_can_be_written_is(tmp_path: Path) -> None:
    file = tmp_path / "log"
    with file.open("w") as stream:
        log = Lossy(stream)
        log.write("a line\n")
        log.flush()
        assert file.read_text() == "a line\n"
