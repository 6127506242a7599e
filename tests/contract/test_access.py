"""What access control promises with its servers: keys and the audit log kept, limits shared."""

import asyncio
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from time import sleep
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
import redis
from click.testing import Result
from typer.testing import CliRunner

from app.api.access import keys
from app.api.access.audit import AuditLog
from app.api.access.keys import ApiKey, KeyStore
from app.api.access.limits import Limits
from app.api.access.roles import Role
from app.cli.commands import commands
from app.errors import StoreRejected, StoreUnavailable
from connectors.access_memory import MemoryAuditLog, MemoryKeyStore
from connectors.access_postgres import PostgresAuditLog, PostgresKeyStore
from connectors.migrations import migrate
from tests.contract.conftest import PrivateRedis

NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)
BOTH = ["memory", pytest.param("postgres", marks=pytest.mark.live)]


@pytest.fixture(scope="module")
def url(make_database: Callable[[], str]) -> str:
    found = make_database()
    migrate(found)
    return found


@pytest.fixture(params=BOTH)
def store(request: pytest.FixtureRequest) -> Iterator[KeyStore]:
    if request.param == "memory":
        yield MemoryKeyStore()
        return
    url = request.getfixturevalue("url")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("TRUNCATE api_keys")
    with closing(PostgresKeyStore(url)) as kept:
        yield kept


@pytest.fixture(params=BOTH)
def audit_log(request: pytest.FixtureRequest) -> Iterator[AuditLog]:
    if request.param == "memory":
        yield MemoryAuditLog()
        return
    with closing(PostgresAuditLog(request.getfixturevalue("url"))) as kept:
        yield kept


def key(at: datetime = NOW, **fields: Any) -> ApiKey:
    return keys.new("desk", Role.TRADER, at, **fields).key


def entry(**fields: Any) -> dict[str, Any]:
    return {
        "call_id": uuid4(), "phase": "intent", "at": NOW, "name": "ann", "role": "admin",
        "kind": "key", "key_id": "k3v9x2ab", "method": "POST", "path": "/admin/pipeline/cleanup",
        "query": "", "body_sha256": "ab" * 32, "body": '{"dry_run": true}', "status": None,
        "client": "127.0.0.1", "request_id": "r-1", **fields,
    }  # fmt: skip


def test_a_key_comes_back_as_it_was_put(store: KeyStore) -> None:
    whole = key(lifetime=HOUR, symbols=("BTC/*@*", "ETH/USD@KRAKEN"), streams=("bars",))
    bare = key()
    store.put(whole.row())
    store.put(bare.row())

    assert [ApiKey.of(store.get(each.id) or {}) for each in (whole, bare)] == [whole, bare]


def test_a_key_that_was_never_made_is_none(store: KeyStore) -> None:
    assert store.get("k3v9x2ab") is None
    assert store.get("' OR 1=1") is None
    assert store.revoke("k3v9x2ab", NOW) is False


def test_a_store_is_empty_until_its_first_key_and_never_again(store: KeyStore) -> None:
    """A revoked key is a key: an API does not open because its last one was revoked."""
    before = store.is_empty()
    made = key()
    store.put(made.row())
    store.revoke(made.id, NOW)

    assert (before, store.is_empty()) == (True, False)


def test_an_id_that_is_taken_is_refused_and_the_first_key_stays(store: KeyStore) -> None:
    first = key()
    store.put(first.row())

    with pytest.raises(StoreRejected):
        store.put({**key().row(), "id": first.id})
    assert ApiKey.of(store.get(first.id) or {}) == first


def test_the_first_time_of_a_revocation_stays(store: KeyStore) -> None:
    made = key()
    store.put(made.row())

    assert [store.revoke(made.id, NOW), store.revoke(made.id, NOW + HOUR)] == [True, True]
    assert (store.get(made.id) or {})["revoked_at"] == NOW


def test_keys_are_listed_oldest_first(store: KeyStore) -> None:
    made = [key(NOW + n * HOUR) for n in (2, 0, 1)]
    for each in made:
        store.put(each.row())

    assert [row["id"] for row in store.list()] == [made[1].id, made[2].id, made[0].id]


@pytest.mark.parametrize(
    ("lifetime", "ends"),
    [(None, NOW + HOUR), (3 * HOUR, NOW + HOUR), (HOUR / 2, NOW + HOUR / 2)],
)
def test_a_rotated_key_ends_after_its_grace_or_when_it_was_to_end(
    store: KeyStore, lifetime: timedelta | None, ends: datetime
) -> None:
    old = key(lifetime=lifetime)
    store.put(old.row())
    new = keys.successor(old, NOW).key

    assert store.rotate(new.row(), NOW + HOUR) is True
    assert (store.get(old.id) or {})["expires_at"] == ends
    assert ApiKey.of(store.get(new.id) or {}) == new


@pytest.mark.parametrize("trouble", ["never made", "revoked", "rotated before"])
def test_what_cannot_be_rotated_is_left_as_it_is(store: KeyStore, trouble: str) -> None:
    old = key()
    if trouble != "never made":
        store.put(old.row())
    if trouble == "revoked":
        store.revoke(old.id, NOW)
    if trouble == "rotated before":
        store.rotate(keys.successor(old, NOW).key.row(), NOW + HOUR)
    before = store.list()

    assert store.rotate(keys.successor(old, NOW).key.row(), NOW + 2 * HOUR) is False
    assert store.list() == before


def test_of_two_rotations_at_once_one_takes_place(store: KeyStore) -> None:
    old = key()
    store.put(old.row())
    successors = [keys.successor(old, NOW).key.row() for _ in range(4)]

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda row: store.rotate(row, NOW + HOUR), successors))

    assert sorted(done) == [False, False, False, True]
    assert len(store.list()) == 2


def test_what_a_caller_does_to_a_row_changes_nothing_kept(store: KeyStore) -> None:
    made = key(symbols=("BTC/*",))
    given = dict(made.row())
    store.put(given)
    given["role"] = "admin"
    found = dict(store.get(made.id) or {})
    found["role"] = "admin"

    assert ApiKey.of(store.get(made.id) or {}) == made


def test_rows_of_the_audit_log_come_back_oldest_first(audit_log: AuditLog) -> None:
    written = [entry(), entry(phase="outcome", status=200, at=NOW - HOUR), entry(body=None)]
    for row in written:
        audit_log.append(row)

    found = audit_log.newest(3)
    assert [dict(row) for row in found] == written
    assert isinstance(found[0]["call_id"], UUID)
    assert [dict(row) for row in audit_log.newest(1)] == written[-1:]


def test_the_audit_log_has_no_way_to_change_a_row(audit_log: AuditLog) -> None:
    public = {name for name in dir(audit_log) if not name.startswith("_")}

    assert public == {"append", "newest", "close"}


@pytest.mark.live
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE api_audit SET name = 'nobody'",
        "DELETE FROM api_audit",
        "TRUNCATE api_audit",
        "TRUNCATE api_audit, api_keys",
        "DELETE FROM api_audit WHERE false",
        """INSERT INTO api_audit OVERRIDING SYSTEM VALUE SELECT * FROM api_audit
        ON CONFLICT (entry) DO UPDATE SET name = ''""",
    ],
)
@pytest.mark.parametrize("replication", ["origin", "replica"])
def test_postgres_refuses_to_change_the_audit_log(
    url: str, statement: str, replication: str
) -> None:
    """Also for a superuser in the mode in which ordinary triggers sleep."""
    with closing(PostgresAuditLog(url)) as log:
        log.append(entry())
        before = log.newest(1000)
        with psycopg.connect(url) as connection:
            connection.execute(f"SET session_replication_role = {replication}".encode())
            with pytest.raises(psycopg.Error, match="api_audit is append-only"):
                connection.execute(statement.encode())
        after = log.newest(1000)

    assert after == before


@pytest.mark.live
def test_postgres_refuses_a_key_that_makes_no_sense(url: str) -> None:
    with closing(PostgresKeyStore(url)) as store:
        for broken in ({"role": "root"}, {"secret_hash": b"short"}, {"rotated_from": "nobody00"}):
            with pytest.raises(StoreRejected):
                store.put({**key().row(), **broken})


@pytest.mark.live
def test_of_two_rotations_that_wait_for_each_other_one_takes_place(url: str) -> None:
    """Both are made to wait for the same row, as two commands at the same moment may."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"  # noqa: E501
    with (
        closing(PostgresKeyStore(url)) as store,
        psycopg.connect(url) as holder,
        psycopg.connect(url, autocommit=True) as watcher,
        ThreadPoolExecutor(2) as pool,
    ):
        old = key()
        store.put(old.row())
        holder.execute("SELECT FROM api_keys WHERE id = %s FOR UPDATE", (old.id,))
        rows = [keys.successor(old, NOW).key.row() for _ in range(2)]
        runs = [pool.submit(store.rotate, row, NOW + HOUR) for row in rows]
        while watcher.execute(waiting).fetchone() != (2,):
            sleep(0.02)
        holder.commit()

        assert sorted(run.result(30) for run in runs) == [False, True]


@pytest.mark.live
def test_without_postgres_every_method_says_so() -> None:
    away = "postgresql://nobody@127.0.0.1:1/none"
    store, log = PostgresKeyStore(away), PostgresAuditLog(away)
    calls: list[Callable[[], object]] = [
        lambda: store.get("k3v9x2ab"), lambda: store.put(key().row()), store.list,
        lambda: store.rotate(key().row(), NOW), lambda: store.revoke("k3v9x2ab", NOW),
        store.is_empty, lambda: log.append(entry()), lambda: log.newest(1),
    ]  # fmt: skip

    for call in calls:
        with pytest.raises(StoreUnavailable):
            call()


async def spent(limits: Limits, times: int) -> list[bool]:
    found = [await limits.spend("key:k3v9x2ab") for _ in range(times)]
    return [each is not None and each.is_allowed for each in found]


@pytest.fixture
def counted(redis_url: str) -> Iterator[Callable[[int], Limits]]:
    """Return a function that makes the limits of one API process; all of them share."""
    prefix = f"test-{uuid4().hex}"
    yield lambda per_minute: Limits(redis_url, per_minute, prefix=prefix)
    with redis.Redis.from_url(redis_url) as client:
        for name in client.scan_iter(f"{prefix}:*"):
            client.delete(name)


@pytest.mark.live
async def test_api_processes_share_one_limit(counted: Callable[[int], Limits]) -> None:
    one, other = counted(6), counted(6)

    found = [*await spent(one, 4), *await spent(other, 4), *await spent(one, 1)]
    refused = await other.spend("key:k3v9x2ab")
    await one.close()
    await other.close()

    assert found == [True] * 6 + [False] * 3
    assert refused is not None
    assert (refused.remaining, 1 <= refused.retry_after_s <= 60) == (0, True)


@pytest.mark.live
async def test_what_limits_leave_in_redis_ends_by_itself(
    counted: Callable[[int], Limits], redis_url: str
) -> None:
    limits = counted(6)
    await spent(limits, 8)
    await limits.close()

    with redis.Redis.from_url(redis_url) as client:
        names = list(client.scan_iter("test-*:limits:*"))
        assert names
        assert all(0 < client.pttl(name) <= 120_000 for name in names)


@pytest.mark.live
async def test_limits_outlive_their_redis_and_find_it_again(private_redis: PrivateRedis) -> None:
    """Three in Redis, three alone while it is away, and none of it fails a request."""
    notes: list[bool] = []
    limits = Limits(private_redis.url, 3, note=notes.append)
    before = await spent(limits, 4)
    private_redis.kill()
    during = await spent(limits, 6)
    private_redis.start()
    while not notes[-1]:
        await asyncio.sleep(0.1)
        await limits.spend("someone else")
    after = await spent(limits, 4)
    await limits.close()

    assert before == after == [True, True, True, False]
    assert during[:3] == [True, True, True]
    assert during[-1] is False
    assert notes == [True, False, True]


def tapeline(url: str, *arguments: str) -> Result:
    return CliRunner().invoke(
        commands, ["keys", *arguments], env={"POSTGRES_URL": url, "TAPELINE_HOME": "/nowhere"}
    )


@pytest.mark.live
def test_a_key_is_made_listed_rotated_and_revoked_by_the_command_line(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("TRUNCATE api_keys")
    text = tapeline(url, "create", "desk", "--role", "viewer", "--expires", "90d").stdout.strip()
    key_id, secret = keys.parsed(text) or ("", "")
    with closing(PostgresKeyStore(url)) as store:
        kept = ApiKey.of(store.get(key_id) or {})
        assert kept.opens(secret)
        assert kept.expires_at == kept.created_at + timedelta(days=90)

        listed = tapeline(url, "list", "--json")
        assert [json.loads(each)["state"] for each in listed.stdout.splitlines()] == ["active"]
        assert secret not in listed.output + tapeline(url, "list").output

        rotated = json.loads(tapeline(url, "rotate", key_id, "--grace", "1h", "--json").stdout)
        assert (rotated["rotated_from"], rotated["state"]) == (key_id, "active")
        ends = (store.get(key_id) or {})["expires_at"]
        assert timedelta(minutes=59) < ends - datetime.now(UTC) <= HOUR
        assert "none has taken over" in str(tapeline(url, "rotate", key_id).exception)

        assert tapeline(url, "revoke", key_id).exit_code == 0
        assert ApiKey.of(store.get(key_id) or {}).state(datetime.now(UTC)) == "revoked"
        assert "is revoked" in str(tapeline(url, "rotate", key_id).exception)
        pasted = tapeline(url, "revoke", text)
        assert "8 characters" in str(pasted.exception)
        assert secret not in str(pasted.exception) + pasted.output


@pytest.mark.live
def test_the_audit_log_is_shown_by_the_command_line(url: str) -> None:
    with closing(PostgresAuditLog(url)) as log:
        log.append(entry(name="bob"))
        log.append(entry(name="bob", phase="outcome", status=200))

    shown = tapeline(url, "audit", "--limit", "2", "--json").stdout.splitlines()

    assert [(json.loads(each)["name"], json.loads(each)["status"]) for each in shown] == [
        ("bob", None), ("bob", 200),
    ]  # fmt: skip
    assert "/admin/pipeline/cleanup" in tapeline(url, "audit").stdout
