"""Which statements a database is given, with TimescaleDB and without.

The extension is in no registry that a laptop reaches, so what would be sent is checked here.
"""

import re

import pytest

from connectors.migrations import Flavour, Migration, MigrationFailed, plan, shipped

SHIPPED = {flavour: plan(shipped(), flavour, {}) for flavour in Flavour}


def text(flavour: Flavour) -> str:
    return "\n".join(migration.text for migration in SHIPPED[flavour])


def code(migration: Migration) -> str:
    return re.sub(r"--.*", "", migration.text)


def test_each_flavour_takes_its_own_files_in_the_order_of_their_numbers() -> None:
    assert {flavour: [m.name for m in SHIPPED[flavour]] for flavour in Flavour} == {
        Flavour.PLAIN: [
            "0001_bars.sql",
            "0002_ticks.plain.sql",
            "0003_tick_days.plain.sql",
            "0004_long_charts.plain.sql",
            "0006_empty_bars.sql",
            "0007_long_charts.plain.sql",
            "0009_access.sql",
        ],
        Flavour.TIMESCALEDB: [
            "0001_bars.sql",
            "0002_ticks.timescaledb.sql",
            "0003_hypertables.timescaledb.sql",
            "0004_long_charts.timescaledb.sql",
            "0005_policies.timescaledb.sql",
            "0006_empty_bars.sql",
            "0007_long_charts.timescaledb.sql",
            "0008_long_charts.timescaledb.sql",
            "0009_access.sql",
        ],
    }


def test_a_plain_database_is_sent_nothing_of_timescaledb() -> None:
    words = "timescaledb|hypertable|columnstore|continuous|time_bucket|retention_policy"

    assert not re.findall(words, "\n".join(map(code, SHIPPED[Flavour.PLAIN])), re.IGNORECASE)


def test_both_flavours_have_the_same_columns_of_ticks() -> None:
    tables = [
        re.search(r"CREATE TABLE ticks \((.*?)\n\)", text(flavour), re.DOTALL)
        for flavour in Flavour
    ]

    assert all(tables)
    assert len({table[1] for table in tables if table}) == 1


def test_both_flavours_have_the_same_long_charts() -> None:
    views = [
        re.findall(r"CREATE (?:MATERIALIZED )?VIEW (\w+)|AS (\w+),", text(flavour))
        for flavour in Flavour
    ]

    assert views[0] == views[1]
    assert ("bars_w1", "") in views[0]


@pytest.mark.parametrize("table", ["bars", "bar_revisions"])
def test_every_unique_key_of_a_hypertable_contains_its_partitioning_column(table: str) -> None:
    whole = text(Flavour.TIMESCALEDB)
    made = re.search(rf"CREATE TABLE {table} \(.*?\n\);", whole, re.DOTALL)
    split = re.search(rf"create_hypertable\('{table}', by_range\('(\w+)'", whole)

    assert made
    assert split
    key = re.search(r"PRIMARY KEY \((.*?)\)", made[0])
    assert key
    assert split[1] in key[1].split(", ")


def test_what_refuses_a_transaction_is_in_a_file_that_runs_outside_one() -> None:
    refusing = r"refresh_continuous_aggregate|convert_to_columnstore|WITH DATA|CONCURRENTLY"
    for migration in shipped():
        if re.search(refusing, code(migration)):
            assert migration.text.startswith("-- no transaction"), migration.name


def test_what_runs_outside_a_transaction_can_run_again() -> None:
    """Killed half-way, it starts from its first statement."""
    repeatable = r"if_not_exists => true|IF NOT EXISTS|CALL refresh_continuous_aggregate"
    for migration in shipped():
        if migration.text.startswith("-- no transaction"):
            for statement in migration.statements():
                assert re.search(repeatable, statement), statement


def test_telemetry_is_off() -> None:
    assert "timescaledb.telemetry_level = ''off''" in text(Flavour.TIMESCALEDB)


def test_statements_outside_a_transaction_are_sent_one_at_a_time() -> None:
    separate = Migration("0001_a.sql", "-- no transaction\nSELECT 'a;b';\n\nSELECT\n  2;\n")
    together = Migration("0002_b.sql", "SELECT 1;\nSELECT 2;\n")

    assert separate.statements() == ["-- no transaction\nSELECT 'a;b'", "SELECT\n  2"]
    assert together.statements() == [together.text]


def test_what_ran_is_left_out_and_an_edited_one_is_named() -> None:
    one, two = Migration("0001_a.sql", "SELECT 1;"), Migration("0002_b.sql", "SELECT 2;")

    assert plan([one, two], Flavour.PLAIN, {one.name: one.checksum}) == [two]
    with pytest.raises(MigrationFailed, match=r"0001_a\.sql was edited"):
        plan([one, two], Flavour.PLAIN, {one.name: two.checksum})
