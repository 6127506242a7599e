from app.api.freshness import Freshness, Origin, Place


def places(
    compute: int = 100, hot: int = 100, raw_end: int = 100, bars_end: int = 100
) -> list[Place]:
    """Return a look: what each role committed of a log, and where the log ends."""
    return [
        Place("compute", "ticks.raw.v1", 0, compute, raw_end),
        Place("hot", "bars.v1", 0, hot, bars_end),
    ]


def looked(*looks: tuple[float, list[Place]]) -> Freshness:
    freshness = Freshness(stale_after_s=5.0, now_s=0.0)
    for now_s, found in looks:
        freshness.observe(now_s, found)
    return freshness


def test_before_the_first_look_everything_is_stale() -> None:
    assert looked().age(0.1, Origin.HOT).stale


def test_a_group_at_the_logs_end_is_as_fresh_as_the_look() -> None:
    age = looked((1.0, places())).age(1.4, Origin.HOT)

    assert round(age.age_s, 6) == 0.4
    assert not age.stale


def test_a_group_has_taken_what_was_there_at_the_last_look_that_its_commits_reached() -> None:
    #  look:     1.0        2.0        3.0
    #  end:      100        200        300
    #  committed at 3.0: 250, beyond the end of 2.0
    freshness = looked(
        (1.0, places(raw_end=100)),
        (2.0, places(raw_end=200, compute=100)),
        (3.0, places(raw_end=300, compute=250)),
    )

    assert freshness.age(3.0, Origin.TOPICS).age_s == 1.0


def test_ages_of_a_chain_add_up() -> None:
    freshness = looked(
        (1.0, places()),
        (2.0, places(raw_end=200, bars_end=200)),
        (3.0, places(raw_end=200, bars_end=300, compute=150, hot=250)),
    )

    assert freshness.age(3.0, Origin.TOPICS).age_s == 2.0
    assert freshness.age(3.0, Origin.HOT).age_s == 2.0 + 1.0
    assert freshness.age(3.5, Origin.TOPICS, Origin.HOT).age_s == 3.5


def test_a_broker_that_does_not_answer_makes_everything_older() -> None:
    freshness = looked((1.0, places()))

    assert not freshness.age(5.9, Origin.TOPICS).stale
    assert freshness.age(6.1, Origin.TOPICS).stale
    assert freshness.contact_s(6.1) == 5.1


def test_a_group_that_is_behind_at_the_first_look_is_stale_however_long_it_has_been() -> None:
    assert looked((0.5, places(hot=3))).age(0.6, Origin.HOT).stale
    assert not looked((0.5, places(hot=3))).age(0.6, Origin.TOPICS).stale


def test_a_group_that_never_committed_has_taken_nothing_of_a_log_that_holds_something() -> None:
    assert looked((0.5, places(hot=-1))).age(0.6, Origin.HOT).stale
    assert not looked((0.5, places(hot=-1, bars_end=0))).age(0.6, Origin.HOT).stale
