"""A small disk: a file system in memory that can be filled up. Mounting it takes root."""

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MB = 1 << 20


class Disk:
    """A mounted file system.

    Attributes:
        path: Where it is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._filler = path / "filler"

    def free_mb(self) -> float:
        """Return what is left."""
        found = os.statvfs(self.path)
        return found.f_bavail * found.f_frsize / MB

    def fill(self, leave_mb: float = 0) -> None:
        """Put a file there that leaves so much, or nothing at all."""
        chunk = bytes(MB // 4)
        with self._filler.open("ab", buffering=0) as file:
            try:
                while self.free_mb() > leave_mb:
                    file.write(chunk)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise

    def make_space(self) -> None:
        """Take that file away."""
        self._filler.unlink(missing_ok=True)


@contextmanager
def mounted(path: Path, size_mb: int, owner: str | None = None) -> Iterator[Disk]:
    """Mount a disk of so many megabytes, as long as the context is open.

    Args:
        path: Where; made here.
        size_mb: How much it holds.
        owner: System user whose it is; None is ours.
    """
    assert os.geteuid() == 0, "a small disk is a tmpfs, which only root may mount: run as root"
    path.mkdir(parents=True)
    options = f"size={size_mb}m" + (f",uid={owner},gid={owner}" if owner else "")
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tapeline", str(path)], check=True)
    try:
        yield Disk(path)
    finally:
        # Lazily: a server that is being killed may still hold files.
        subprocess.run(["umount", "--lazy", str(path)], check=True)
