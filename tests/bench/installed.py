"""What other systems need, kept out of our own dependencies: environments and jars, made once.

Under TAPELINE_HOME: ``bench/venvs/NAME`` from ``peers/NAME.txt``, which pins every package;
``downloads/bench-NAME`` from ``peers/NAME/pom.xml``, as the broker's jars are fetched (fixed
versions, Maven's strict checksums); ``bench/classes/NAME`` from ``peers/NAME/*.java``. pip and
Maven are as the machine has them set up.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from app.cli.terminal import note
from app.errors import TapelineError
from infra.local.home import Home

PEERS = Path(__file__).parent / "peers"
SHOWN_LINES = 3


class NotInstalled(TapelineError):
    """A system cannot be measured here; the message says why."""


def environment(home: Home, name: str) -> Path:
    """Return the Python of the virtual environment that ``peers/NAME.txt`` describes.

    Raises:
        NotInstalled: pip failed.
    """
    requirements = PEERS / f"{name}.txt"
    folder = home.path / "bench" / "venvs" / name
    wanted = _hash([requirements], sys.version)
    python = folder / "bin" / "python"
    if not _is_made(folder, wanted):
        note(f"installing {name}")
        shutil.rmtree(folder, ignore_errors=True)
        _run(home, name, [sys.executable, "-m", "venv", str(folder)])
        pip = [str(python), "-m", "pip", "install", "--disable-pip-version-check"]
        _run(home, name, [*pip, "--no-deps", "--requirement", str(requirements)])
        _made(folder, wanted)
    return python


def classpath(home: Home, name: str) -> str:
    """Return the class path of ``peers/NAME``: its jars, and its sources compiled.

    Raises:
        NotInstalled: There is no Maven or no compiler, or one of them failed.
    """
    jars = home.downloads / f"bench-{name}"
    pom = PEERS / name / "pom.xml"
    wanted = _hash([pom])
    if not _is_made(jars, wanted):
        note(f"fetching the jars of {name}")
        partial = jars.with_name(f"{jars.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        maven = [_tool("mvn", "maven"), "--batch-mode", "--strict-checksums", "--file", str(pom)]
        goal = ["dependency:copy-dependencies", "-DincludeScope=runtime"]
        _run(home, name, [*maven, *goal, f"-DoutputDirectory={partial}"])
        shutil.rmtree(jars, ignore_errors=True)
        partial.rename(jars)
        _made(jars, wanted)
    sources = sorted((PEERS / name).glob("*.java"))
    classes = home.path / "bench" / "classes" / name
    compiled = _hash(sources, wanted)
    if not _is_made(classes, compiled):
        shutil.rmtree(classes, ignore_errors=True)
        javac = [_tool("javac", "openjdk-17-jdk-headless"), "-cp", f"{jars}/*", "-d", str(classes)]
        _run(home, name, [*javac, *map(str, sources)])
        _made(classes, compiled)
    return f"{classes}:{jars}/*"


def java() -> str:
    """Return the program that runs classes.

    Raises:
        NotInstalled: There is none.
    """
    return _tool("java", "openjdk-17-jdk-headless")


def _tool(name: str, package: str) -> str:
    own = os.environ.get("JAVA_HOME")
    found = (shutil.which(name, path=f"{own}/bin") if own else None) or shutil.which(name)
    if found is None:
        raise NotInstalled(f"there is no {name}: apt-get install {package}")
    return found


def _run(home: Home, name: str, command: list[str]) -> None:
    log = home.logs / f"bench-install-{name}.log"
    with log.open("ab") as output:
        begin = output.tell()
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, check=False
        )
    if done.returncode:
        with log.open("rb") as output:
            output.seek(begin)
            said = output.read().decode(errors="replace").splitlines()
        errors = [line for line in said if "ERROR" in line or "error:" in line] or said
        shown = " ".join(line.strip() for line in errors[:SHOWN_LINES])
        raise NotInstalled(f"{Path(command[0]).name} failed, see {log}: {shown}")


def _hash(files: Iterable[Path], *also: str) -> str:
    digest = hashlib.sha256("\n".join(also).encode())
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _is_made(folder: Path, wanted: str) -> bool:
    stamp = folder / "stamp.sha256"
    return stamp.exists() and stamp.read_text() == wanted


def _made(folder: Path, wanted: str) -> None:
    (folder / "stamp.sha256").write_text(wanted)
