"""The environment, checked: one message for all faults, and no secret in any."""

import json
from pathlib import Path

import pytest

from app import topics
from app.domain.catalog import SeriesRules
from app.errors import ConfigError
from app.setting_values import is_loopback
from app.settings import Settings, load

SERVERS = {
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9092",
    "REDIS_URL": "redis://127.0.0.1:6379/0",
    "POSTGRES_URL": "postgresql://tapeline@127.0.0.1:5432/tapeline",
}


def settings(**variables: str) -> Settings:
    return load({"TAPELINE_HOME": "/nowhere", **SERVERS, **variables})


def faults(**variables: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        settings(**variables)
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("30s", 30.0), ("5m", 300.0), ("6h", 21_600.0), ("1d", 86_400.0), ("2", 2.0)],
)
def test_a_duration_has_a_unit_or_is_seconds(text: str, seconds: float) -> None:
    assert settings(CHECKPOINT_EVERY=text).checkpoint_every_s == seconds


def test_the_defaults_are_those_of_the_readme() -> None:
    defaults = settings()

    assert defaults.timeframes == ("M1", "M5", "M15", "H1", "H4", "D1")
    assert defaults.grace_s("M1") == defaults.grace_s("D1") == 30.0
    assert defaults.revise_for_s == 6 * 3600
    assert (defaults.partitions, defaults.group, defaults.topic_prefix) == (4, "tapeline", "")
    assert defaults.schema_registry_url == ""
    assert defaults.price_jump_quarantine is False


def test_grace_is_given_for_all_timeframes_and_then_for_some() -> None:
    given = settings(BARS_GRACE="30s,D1=60s")

    assert (given.grace_s("H4"), given.grace_s("D1")) == (30.0, 60.0)
    assert given.ladder(SeriesRules()).rungs[-1].grace_us == 60_000_000


def test_every_fault_is_named_at_once_with_variable_rule_and_value() -> None:
    assert faults(BARS_GRACE="-1s", TAPELINE_PARTITIONS="0", TAPELINE_TOPIC_PREFIX="a b") == [
        "TAPELINE_PARTITIONS must be a whole number from 1 to 10000, was '0'",
        "TAPELINE_TOPIC_PREFIX must be letters, digits, '.', '_' and '-' only, was 'a b'",
        "BARS_GRACE must be a duration >= 0, such as 30s or 30s,D1=60s, was '-1s'",
    ]


def test_a_misspelt_variable_is_a_fault_that_names_the_right_one() -> None:
    assert faults(BARS_GRASE="10s") == ["BARS_GRASE is no setting; is it BARS_GRACE?"]


def test_the_local_stacks_own_variables_are_no_fault() -> None:
    settings(TAPELINE_KAFKA_PORT="0", TAPELINE_POSTGRES_PORT="0")


def test_an_empty_variable_counts_as_unset() -> None:
    assert settings(BARS_GRACE="", TAPELINE_PARTITIONS="").partitions == 4


@pytest.mark.parametrize(
    ("grace", "rule"),
    [
        ("30s,D1=10s", "grace of D1 must be at least that of H4"),
        ("30s,M2=60s", "must name timeframes of BARS_TIMEFRAMES, not M2"),
        ("D1=60s", "must begin with a default"),
        ("30s,30s", "must name each timeframe once"),
    ],
)
def test_a_grace_that_fits_no_ladder_is_a_fault(grace: str, rule: str) -> None:
    (fault,) = faults(BARS_GRACE=grace)

    assert fault.startswith("BARS_GRACE must")
    assert rule in fault


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("BARS_TIMEFRAMES", "M1,M1"),
        ("BARS_TIMEFRAMES", "M1,quarter"),
        ("BARS_EMIT_EVERY", "0s"),
        ("PRICE_JUMP_LIMIT", "0"),
        ("PRICE_JUMP_QUARANTINE", "maybe"),
        ("METRICS_PORT", "65536"),
        ("LOG_LEVEL", "LOUD"),
        ("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1"),
        ("API_HOST", "http://localhost"),
        ("API_PORT", "80000"),
        ("API_RATE_PER_MINUTE", "-1"),
        ("API_STALE_AFTER", "0"),
        ("API_CORS_ORIGINS", "*"),
        ("API_CORS_ORIGINS", "https://desk.example.com,null"),
        ("API_CORS_ORIGINS", "https://desk.example.com/app"),
    ],
)
def test_a_value_that_breaks_its_rule_is_named(variable: str, value: str) -> None:
    (fault,) = faults(**{variable: value})

    assert fault.startswith(f"{variable} must ")
    assert fault.endswith(f"was {value!r}")


def test_the_api_is_reached_from_this_machine_alone_unless_told_otherwise() -> None:
    given = settings()

    assert (given.api_host, given.api_port, given.api_cors_origins) == ("127.0.0.1", 8000, ())
    assert (given.api_rate_per_minute, given.api_timeout_s) == (1200, 5.0)


def test_origins_are_taken_as_browsers_send_them() -> None:
    given = settings(API_CORS_ORIGINS="https://Desk.example.com, http://127.0.0.1:3000")

    assert given.api_cors_origins == ("https://desk.example.com", "http://127.0.0.1:3000")


@pytest.mark.parametrize(
    "name", ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost", "LOCALHOST"]
)
def test_a_loopback_address_is_known(name: str) -> None:
    assert is_loopback(settings(API_HOST=name).api_host)


@pytest.mark.parametrize(
    "name", ["0.0.0.0", "::", "10.0.0.1", "api.example.com", "localhost.evil.com", "127.0.0.1.nip.io"]  # noqa: E501, S104
)  # fmt: skip
def test_any_other_address_is_not_loopback(name: str) -> None:
    assert not is_loopback(settings(API_HOST=name).api_host)


@pytest.mark.parametrize(
    "place", ["/etc/jwks.json", "https://id.example.com/jwks", "http://127.0.0.1:9000/jwks"]
)
def test_the_keys_of_jwts_come_from_a_file_or_a_safe_url(place: str) -> None:
    assert settings(API_JWT_JWKS=place).api_jwt_jwks == place


@pytest.mark.parametrize("place", ["http://id.example.com/jwks", "ftp://127.0.0.1/k", "https://"])
def test_the_keys_of_jwts_come_from_nowhere_that_can_be_changed_on_the_way(place: str) -> None:
    (fault,) = faults(API_JWT_JWKS=place)

    assert fault.startswith("API_JWT_JWKS must be a file, an https:// URL")


@pytest.mark.parametrize("given", ["API_TLS_CERT", "API_TLS_KEY"])
def test_a_certificate_and_its_key_come_together(given: str) -> None:
    (fault,) = faults(**{given: "/etc/file.pem"})

    assert fault.startswith("API_TLS_KEY must be set together with API_TLS_CERT, or neither")


def test_a_misspelt_variable_of_the_api_is_a_fault() -> None:
    assert faults(API_HOSTS="h") == ["API_HOSTS is no setting; is it API_HOST?"]


def test_servers_come_from_the_local_stack_when_the_environment_names_none(tmp_path: Path) -> None:
    stack = {"kafka": "127.0.0.1:1", "redis": "redis://h/0", "postgres": "postgresql://h/d"}
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "stack.json").write_text(json.dumps(stack))

    found = load({"TAPELINE_HOME": str(tmp_path), "REDIS_URL": "redis://other/1"})

    assert found.kafka_bootstrap_servers == "127.0.0.1:1"
    assert found.redis_url == "redis://other/1"
    assert found.postgres_url == "postgresql://h/d"


def test_without_servers_the_message_says_which_command_starts_them() -> None:
    with pytest.raises(ConfigError, match=r"KAFKA_BOOTSTRAP_SERVERS, .*`tapeline up`"):
        load({"TAPELINE_HOME": "/nowhere"})


def test_a_command_that_needs_kafka_alone_is_not_asked_for_the_stores() -> None:
    kafka = {"TAPELINE_HOME": "/nowhere", "KAFKA_BOOTSTRAP_SERVERS": "h:1"}

    assert load(kafka, needs=("kafka",)).redis_url == ""


def test_no_secret_is_in_a_message_or_a_repr() -> None:
    secret = "hunter/2@x"  # noqa: S105 - an example
    told = "\n".join(
        faults(
            REDIS_URL=f"http://user:{secret}@h",
            POSTGRES_URL=f"host=h password={secret}",
            SCHEMA_REGISTRY_URL=f"ftp://u:{secret}@h",
            KAFKA_SASL_PASSWORD=secret,
            KAFKA_SECURITY_PROTOCOL="SASL_SSL",
        )
    )
    good = settings(
        REDIS_URL=f"redis://user:{secret}@h",
        POSTGRES_URL=f"postgresql://u:{secret}@h/d",
        SCHEMA_REGISTRY_URL=f"https://u:{secret}@h",
        KAFKA_SASL_USERNAME="u",
        KAFKA_SASL_PASSWORD=secret,
        KAFKA_SECURITY_PROTOCOL="SASL_SSL",
    )

    assert "KAFKA_SASL_USERNAME must be set for SASL_SSL" in told
    assert secret not in told
    assert secret not in repr(good) + str(good)


def test_librdkafka_is_told_how_to_log_in() -> None:
    given = settings(
        KAFKA_SECURITY_PROTOCOL="sasl_ssl",
        KAFKA_SASL_MECHANISM="SCRAM-SHA-512",
        KAFKA_SASL_USERNAME="u",
        KAFKA_SASL_PASSWORD="p",  # noqa: S106 - an example
        KAFKA_SSL_CA="/etc/ca.pem",
    )

    assert given.kafka_client_config() == {
        "bootstrap.servers": "127.0.0.1:9092",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "u",
        "sasl.password": "p",
        "ssl.ca.location": "/etc/ca.pem",
    }
    assert settings().kafka_client_config() == {
        "bootstrap.servers": "127.0.0.1:9092",
        "security.protocol": "PLAINTEXT",
    }


def test_names_on_the_broker_carry_the_prefix_and_the_group() -> None:
    given = settings(TAPELINE_TOPIC_PREFIX="shadow.", TAPELINE_GROUP="desk")

    assert given.topic(topics.RAW) == "shadow.ticks.raw.v1"
    assert given.group_of("compute") == "shadow.desk-compute"


def test_faust_logs_in_as_librdkafka_does() -> None:
    sasl = settings(
        KAFKA_SECURITY_PROTOCOL="SASL_SSL", KAFKA_SASL_USERNAME="u", KAFKA_SASL_PASSWORD="p"  # noqa: S106
    ).faust_credentials()  # fmt: skip

    assert (sasl.username, sasl.password, sasl.protocol.value) == ("u", "p", "SASL_SSL")
    assert settings(KAFKA_SECURITY_PROTOCOL="SSL").faust_credentials().context is not None
    assert settings().faust_credentials() is None


@pytest.mark.parametrize(
    "name", ["TAPELINE_API_KEY", "API_KEY", "API_TOKEN", "API_BASE_URL", "API_SECRET"]
)
def test_another_programs_variable_is_none_of_ours(name: str) -> None:
    assert settings(**{name: "x"}).api_port == 8000
