"""Imports point one way: this test is the diagram that cannot go stale."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = ("schemas", "app", "agents", "connectors", "infra", "tests")
COMPOSITION_ROOT = (
    "app/compose.py", "app/worker.py", "app/preflight.py", "app/serve.py", "app/cli/",
)  # fmt: skip

ALLOWED = {
    "schemas/": ("schemas",),
    "app/domain/": ("app.domain", "app.errors", "schemas"),
    "app/": ("app", "schemas"),
    "app/audit/": ("app.audit", "app.errors", "app.settings", "app.topics"),
    "app/client/": ("app.client", "schemas.json_form", "schemas.layout"),
    "agents/": ("app", "schemas"),
    "connectors/": (
        "connectors", "app.breaker", "app.domain", "app.errors", "app.topics", "app.partitions",
        "schemas",
    ),
    "infra/": ("infra",),
}  # fmt: skip
"""The longest prefix that fits a file decides what it may import of ours."""


def imported(path: Path) -> set[str]:
    """Return the modules of ours that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.split(".")[0] in OURS}


def breaches(files: dict[str, set[str]]) -> list[str]:
    """Return what each file imports and may not."""
    out = []
    for name, modules in files.items():
        if name.startswith(COMPOSITION_ROOT):
            continue
        room = max((prefix for prefix in ALLOWED if name.startswith(prefix)), key=len)
        for module in sorted(modules):
            if not any(module == m or module.startswith(f"{m}.") for m in ALLOWED[room]):
                out.append(f"{name} imports {module}")
            elif room == "app/" and module.startswith(("app.compose", "app.worker", "app.cli")):
                out.append(f"{name} imports the composition root: {module}")
    return out


def test_imports_point_one_way() -> None:
    files = {
        str(path.relative_to(ROOT)): imported(path)
        for room in OURS[:-1]
        for path in (ROOT / room).rglob("*.py")
    }

    assert len(files) > 20
    assert breaches(files) == []


def test_the_pure_core_knows_no_clock_and_no_wire() -> None:
    """app/domain imports nothing that reads a clock, a file or a socket."""
    banned = {"time", "os", "socket", "asyncio", "faust", "confluent_kafka", "redis", "psycopg"}
    found = []
    for path in (ROOT / "app/domain").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            found += [f"{path.name}: {name}" for name in names if name.split(".")[0] in banned]

    assert found == []


def test_the_auditor_shares_no_code_with_what_it_audits() -> None:
    """Two ways to a bar are only two while nothing of the core, the codecs or the edges is used."""
    rooms = ("app.domain", "app.engine", "agents", "connectors", "schemas", "app.partitions")
    found = [
        f"{path.name} imports {module}"
        for path in (ROOT / "app/audit").rglob("*.py")
        for module in imported(path)
        if module.startswith(rooms)
    ]

    assert found == []


@pytest.mark.parametrize(
    ("file", "module"),
    [
        ("app/audit/recompute.py", "app.domain.bars"),
        ("app/audit/records.py", "schemas.record"),
        ("app/audit/warm.py", "connectors.warm_postgres"),
        ("schemas/wire.py", "app.errors"),
        ("app/domain/bars.py", "app.topics"),
        ("app/outlets.py", "connectors.hot_redis"),
        ("app/outlets.py", "app.compose.worker"),
        ("app/client/calls.py", "app.api.session"),
        ("app/client/place.py", "app.settings"),
        ("agents/bars.py", "connectors.hot_redis"),
        ("connectors/hot_redis.py", "app.settings"),
        ("app/topics.py", "infra.local"),
    ],
)
def test_a_breach_is_seen(file: str, module: str) -> None:
    assert breaches({file: {module}}) != []
