"""What one audit leaves for the next is kept whole, or refused."""

from pathlib import Path

import pytest

from app.audit.cursor import Cursor, cursor_file, load_cursor, save_cursor
from app.errors import ConfigError
from app.settings import load


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    """Offsets by partition are numbers again, and 38 digits are all there."""
    cursor = Cursor(
        raw={0: 5, 3: 7}, ticks={0: 4}, amendments=[["TEST", "A/B", "1", str(10**37)]], at_s=1.5
    )
    path = tmp_path / "audit" / "cursor.json"
    save_cursor(path, cursor)

    assert load_cursor(path) == cursor
    assert [each.name for each in path.parent.iterdir()] == ["cursor.json"]


def test_without_a_file_the_audit_begins_with_the_logs(tmp_path: Path) -> None:
    assert load_cursor(tmp_path / "none.json") == Cursor()


@pytest.mark.parametrize("text", ["", "[]", "{", '{"version": 0}'])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "cursor.json"
    path.write_text(text)

    with pytest.raises(ConfigError, match="audit cursor"):
        load_cursor(path)


def test_each_flow_has_a_cursor_of_its_own(tmp_path: Path) -> None:
    def named(**env: str) -> Path:
        return cursor_file(load({"TAPELINE_HOME": str(tmp_path), **env}, needs=()))

    assert len({named(), named(TAPELINE_GROUP="x"), named(TAPELINE_TOPIC_PREFIX="x.")}) == 3
