import pytest

from tests.conftest import ROOT
from tests.fault.sabotage import BUGS, Bug


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_the_place_of_every_bug_is_there(bug: Bug) -> None:
    """Or it would be put in nowhere, and the fault suite would be said to have missed it."""
    for name, stands, instead in bug.edits:
        assert (ROOT / name).read_text().count(stands) == 1, name
        assert stands != instead
    for fault in bug.faults:
        assert (ROOT / "tests/fault" / fault.partition("::")[0]).is_file()
