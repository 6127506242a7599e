"""PostgreSQL from the system's binaries, with a data folder of its own.

PostgreSQL refuses to run as root, so root starts it as the system user ``postgres``; when
that user cannot reach `TAPELINE_HOME` the data lies under /var/lib/tapeline-<hash>.
"""

import hashlib
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from infra.local.home import HOST, Home
from infra.local.process import Service, StackError, wait_until

NAME = "postgres"
PORTS = ("postgres",)
DATABASE = "tapeline"
OLDEST_VERSION = 15

SETTINGS = {
    "max_connections": "100",
    "shared_buffers": "256MB",
    "work_mem": "16MB",
    "maintenance_work_mem": "128MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "wal_compression": "on",
    "random_page_cost": "1.1",
    # Compiling a short query takes longer than running it.
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
"""What both the local and the Compose server are given; a test compares them."""

TIMESCALE_SETTINGS = {
    "shared_preload_libraries": "timescaledb",
    "timescaledb.telemetry_level": "off",
}
"""Given where the extension is installed, and always by Compose."""

# Beside the data: the `Home.identity` it belongs to, written once it is complete.
_STAMP = "tapeline.identity"


def service(home: Home) -> Service:
    """Return the server as it runs on the recorded port."""
    port, binaries = home.port("postgres"), _binaries(home)
    settings = {
        "listen_addresses": HOST,
        "port": str(port),
        # None: a socket's path is limited to 107 bytes, and nobody needs one.
        "unix_socket_directories": "",
        "logging_collector": "off",
        **SETTINGS,
        **(TIMESCALE_SETTINGS if has_timescale(binaries) else {}),
    }
    options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
    return Service(
        name=NAME,
        argv=[str(binaries / "postgres"), "-D", str(_data(home)), *options],
        pidfile=home.run / "postgres.json",
        log=home.logs / "postgres.log",
        is_ready=lambda: _answers(binaries, port),
        env=_environment(),
        user=_user(),
        # Fast and immediate shutdown: pg_ctl sends the same signals for -m fast, -m immediate.
        stop_signal=signal.SIGINT,
        hard_signal=signal.SIGQUIT,
        ready_timeout_s=120,
        stop_timeout_s=30,
    )


def missing() -> list[str]:
    """Return the Debian packages without which it cannot start."""
    return ["postgresql-15"] if not _installed() or not _has_user() else []


def prepare(home: Home) -> None:
    """Make the database cluster, unless one of this life of the home is there.

    Raises:
        StackError: The folder cannot be made, or initdb failed; the message says why.
    """
    data = _data(home)
    home.extra["postgres_data"] = str(data)
    _end_survivors(data)
    if (data / _STAMP).exists() and (data / _STAMP).read_text().strip() == home.identity():
        return
    _empty(data)
    user = _user()
    if user:
        shutil.chown(data, user, user)
    data.chmod(0o700)
    initdb = [str(_binaries(home) / "initdb"), "-D", str(data), "-U", DATABASE, "-A", "trust"]
    # --no-sync: what is made here in two seconds can be made again.
    done = _run([*initdb, "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"])
    if done.returncode:
        raise StackError(f"initdb in {data} failed:\n{(done.stdout + done.stderr)[-2000:]}")
    (data / _STAMP).write_text(home.identity() + "\n")


def complete(home: Home) -> None:
    """Create the database, once the server answers.

    Raises:
        StackError: It could not be created.
    """
    binaries, server = _binaries(home), ["-h", HOST, "-p", str(home.port("postgres"))]
    login = [*server, "-U", DATABASE, "--no-password"]
    probe = _run([str(binaries / "psql"), *login, "-d", DATABASE, "-XAtc", "SELECT 1"])
    if probe.returncode:
        made = _run([str(binaries / "createdb"), *login, "--maintenance-db=postgres", DATABASE])
        if made.returncode:
            raise StackError(f"database {DATABASE} could not be made: {made.stderr.strip()}")


def has_timescale(binaries: Path) -> bool:
    """Return whether the TimescaleDB extension's library lies beside these `binaries`."""
    return (binaries.parent / "lib" / "timescaledb.so").exists()


def _installed() -> list[Path]:
    """Return the folders with a server's binaries, newest version first, PATH's last."""
    packaged = [p for p in Path("/usr/lib/postgresql").glob("*/bin") if p.parent.name.isdecimal()]
    packaged.sort(key=lambda folder: int(folder.parent.name), reverse=True)
    current = [folder for folder in packaged if int(folder.parent.name) >= OLDEST_VERSION]
    on_path = shutil.which("initdb")
    found = [*current, *([Path(on_path).resolve().parent] if on_path else [])]
    return [folder for folder in found if (folder / "postgres").exists()]


def _binaries(home: Home) -> Path:
    """Return the newest version's folder, or the one that made the data that is there."""
    installed = _installed()
    try:
        made_by = (_data(home) / "PG_VERSION").read_text().strip()
    except OSError:
        made_by = ""
    same = [folder for folder in installed if folder.parent.name == made_by]
    return next(iter([*same, *installed]), Path("/usr/lib/postgresql") / "15" / "bin")


def _user() -> str | None:
    return "postgres" if os.geteuid() == 0 else None


def _has_user() -> bool:
    user = _user()
    return user is None or user in {entry.pw_name for entry in pwd.getpwall()}


def _environment() -> dict[str, str]:
    # PGDATA, PGPORT and their like would change what the arguments say.
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
    return {**kept, "LC_ALL": "C.UTF-8", "HOME": "/"}


def _data(home: Home) -> Path:
    inside = home.data / "postgres"
    if not _has_user() or _can_reach(home.data):
        return inside
    digest = hashlib.sha256(str(home.path).encode()).hexdigest()[:12]
    return Path("/var/lib") / f"tapeline-{digest}" / "postgres"


def _can_reach(folder: Path) -> bool:
    return _user() is None or _run(["/usr/bin/test", "-x", str(folder)]).returncode == 0


def _empty(data: Path) -> None:
    """Make `data` an empty folder without replacing it: it may be a mount point."""
    data.mkdir(parents=True, exist_ok=True)
    # A strict umask must not lock the server's user out of its own folder.
    data.parent.chmod(data.parent.stat().st_mode | 0o011)
    for child in data.iterdir():
        if child.is_dir() and not child.is_symlink():
            shutil.rmtree(child)
        else:
            child.unlink()


def _end_survivors(data: Path) -> None:
    """End what still runs in `data` though our pidfile does not name it, or named the dead.

    Every process of a server has the data folder as its working directory. Once there is
    none, postmaster.pid is stale and goes: its pid may belong to a zombie or another
    program by now, which the server would take for a running one and refuse to start.
    """
    for number in (signal.SIGQUIT, signal.SIGKILL):
        for pid in _running_in(data):
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        if wait_until(lambda: not _running_in(data), timeout_s=10):
            break
    (data / "postmaster.pid").unlink(missing_ok=True)


def _running_in(data: Path) -> list[int]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        # Gone meanwhile, or another user's, which then is no server of ours.
        with suppress(OSError):
            if (process / "cwd").readlink() == data.resolve():
                found.append(int(process.name))
    return found


def _answers(binaries: Path, port: int) -> bool:
    ask = [str(binaries / "pg_isready"), "-q", "-h", HOST, "-p", str(port), "-t", "2"]
    ask += ["-U", DATABASE, "-d", "postgres"]
    return _run(ask).returncode == 0


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    user = _user()
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env=_environment(),
        user=user,
        group=user,
        extra_groups=[] if user else None,
    )
