from app.domain.gaps import MAX_OPEN, IdLedger


def ledger(*ids: int, stream_us: int = 0) -> IdLedger:
    ids_seen = IdLedger()
    ids_seen.add([(n, n * 10, "feed") for n in ids], stream_us)
    return ids_seen


def ranges(found: list) -> list[tuple[int, int]]:  # type: ignore[type-arg]
    return [(gap.from_id, gap.to_id) for gap in found]


def test_ids_without_holes_have_no_gap() -> None:
    assert ledger(5, 6, 7).judge(10**9, 0) == []


def test_a_hole_is_a_gap_once_and_only_after_patience() -> None:
    ids = ledger(1, 5)

    assert ids.judge(29, 30) == []
    assert ranges(ids.judge(30, 30)) == [(2, 4)]
    assert ids.judge(99, 30) == []


def test_what_arrives_within_patience_is_not_missing() -> None:
    ids = ledger(1, 5)
    ids.add([(3, 30, "feed")], 10)

    assert ranges(ids.judge(30, 30)) == [(2, 2), (4, 4)]


def test_a_gap_is_repaired_by_its_last_missing_trade() -> None:
    ids = ledger(1, 4)
    ids.judge(30, 30)

    assert ids.add([(3, 30, "feed")], 40) == []
    [gap] = ids.add([(2, 20, "backfill")], 50)
    assert (gap.from_id, gap.to_id, gap.repaired_us, gap.repaired_by) == (2, 3, 50, "backfill")


def test_the_ids_prove_what_was_seen() -> None:
    ids = ledger(10, 11, 15)

    assert [n for n in range(8, 18) if ids.has(n)] == [10, 11, 15]


def test_what_came_before_the_first_trade_is_unknown_not_missing() -> None:
    ids = ledger(10, 9, 5)

    assert ids.judge(10**9, 0) == []
    assert [n for n in range(4, 12) if ids.has(n)] == [9, 10]


def test_open_gaps_are_bounded_and_the_forgotten_prove_nothing() -> None:
    ids = ledger(*range(0, 4 * MAX_OPEN, 2))
    ids.judge(1, 0)

    assert len(ids.gaps) == MAX_OPEN
    assert not ids.has(0)
    assert ids.has(4 * MAX_OPEN - 2)
