"""The settings: every field, its variable, its default and its rule. Made by `app.settings`."""

from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, cast

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app import setting_values as values
from app.domain.catalog import SeriesRules
from app.domain.sessions import ALWAYS, Profile
from app.domain.timeframes import Ladder, ladder
from app.setting_values import Broken
from app.topics import Topic

LADDER_FIELDS = ("timeframes", "revise_for_s")

Duration = Annotated[float, BeforeValidator(values.duration_s)]
Interval = Annotated[float, BeforeValidator(values.interval_s)]
Word = Annotated[str, BeforeValidator(values.word)]


def _of(parse: Any) -> BeforeValidator:
    return BeforeValidator(parse)


_checked = partial(Field, validate_default=True)
_secret = partial(Field, repr=False)


class Settings(BaseSettings):
    """The settings, checked. Made by `load`; durations are seconds."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", validate_default=False)

    kafka_bootstrap_servers: Annotated[str, _of(values.brokers)] = ""
    kafka_security_protocol: Annotated[str, _of(values.one_of(*values.PROTOCOLS))] = "PLAINTEXT"
    kafka_sasl_mechanism: Annotated[str, _of(values.one_of(*values.MECHANISMS))] = "PLAIN"
    kafka_sasl_username: str = _checked("")
    kafka_sasl_password: str = _checked("", repr=False)
    kafka_ssl_ca: str = ""
    redis_url: Annotated[str, _of(values.url("redis", "rediss"))] = _secret("")
    postgres_url: Annotated[str, _of(values.url("postgresql", "postgres"))] = _secret("")
    schema_registry_url: Annotated[str, _of(values.url("http", "https"))] = _secret("")
    """Empty: the built-in registry."""

    home: Path = Field(Path(), validation_alias="TAPELINE_HOME")
    partitions: Annotated[int, _of(values.whole(1, 10_000))] = Field(
        4, validation_alias="TAPELINE_PARTITIONS"
    )
    group: Word = Field("tapeline", validation_alias="TAPELINE_GROUP")
    """First part of the consumer groups' names."""
    topic_prefix: Word = Field("", validation_alias="TAPELINE_TOPIC_PREFIX")

    replication: Annotated[int, _of(values.whole(1, 100))] = Field(
        1, validation_alias="TAPELINE_REPLICATION"
    )
    """Copies of each topic's partitions."""

    timeframes: Annotated[tuple[str, ...], NoDecode, _of(values.names_of_timeframes)] = Field(
        ("M1", "M5", "M15", "H1", "H4", "D1"), validation_alias="BARS_TIMEFRAMES"
    )
    revise_for_s: Duration = Field(21_600.0, validation_alias="BARS_REVISE_FOR")
    emit_every_s: Interval = Field(0.1, validation_alias="BARS_EMIT_EVERY")
    """What changed waits no longer; in a quiet market it is published at once."""
    grace: Annotated[Mapping[str, float], NoDecode, _of(values.durations_by_timeframe)] = Field(
        cast("Mapping[str, float]", "30s"), validation_alias="BARS_GRACE", validate_default=True
    )
    """Seconds by timeframe; ``""`` is the default. Read through `grace_s`."""

    catalog: str = Field("", validation_alias="TAPELINE_CATALOG")
    """File of the reviewed rules of venues, instruments and series; empty: the one that ships."""
    correct_for_s: Duration = Field(172_800.0, validation_alias="BARS_CORRECT_FOR")
    """How far back the trade of a correction or cancel is looked for."""
    checkpoint_every_s: Interval = Field(1.0, validation_alias="CHECKPOINT_EVERY")
    clock_every_s: Interval = Field(1.0, validation_alias="CLOCK_EVERY")
    """How soon, at the earliest, the bars of an idle series are closed by the clock."""
    dedupe_window: Annotated[int, _of(values.whole(1, 10**9))] = 500_000
    """Ticks remembered a partition."""
    max_series: Annotated[int, _of(values.whole(1, 10**7))] = 20_000
    """Series (venue and symbol) of a partition; ticks of one more are refused."""
    stale_after_s: Interval = Field(60.0, validation_alias="STALE_AFTER")
    price_jump_limit: Annotated[float, _of(values.share)] = 0.10
    price_jump_quarantine: Annotated[bool, _of(values.truth)] = False
    max_future_s: Duration = Field(60.0, validation_alias="MAX_FUTURE")
    hot_ticks: Annotated[int, _of(values.whole(1, 10**6))] = 1000
    """Ticks kept a series in the hot store."""
    metrics_port: Annotated[int, _of(values.whole(0, 65_535))] = 0
    """0: no metrics are served."""
    log_level: Annotated[str, _of(values.one_of(*values.LOG_LEVELS))] = "INFO"

    api_host: Annotated[str, _of(values.host)] = "127.0.0.1"
    """Where the API listens; without keys and JWTs only a loopback address will do."""
    api_port: Annotated[int, _of(values.whole(0, 65_535))] = 8000
    api_cors_origins: Annotated[tuple[str, ...], NoDecode, _of(values.origins)] = ()
    """Origins whose pages may read the API."""
    api_tls_cert: str = ""
    api_tls_key: str = _checked("")
    """Files in PEM: the certificate with its chain, and its private key."""
    api_jwt_jwks: Annotated[str, _of(values.jwks)] = _secret("")
    """URL or file of the keys that sign JWTs; empty: API keys only."""
    api_jwt_audience: str = ""
    api_jwt_issuer: str = ""
    api_rate_per_minute: Annotated[int, _of(values.whole(0, 10**6))] = 1200
    """Requests a minute of each key; 0: no limit."""
    api_stale_after_s: Interval = Field(5.0, validation_alias="API_STALE_AFTER")
    """An answer is called stale when its source lags by more."""
    api_timeout_s: Interval = Field(5.0, validation_alias="API_TIMEOUT")
    """Longest wait for a store."""

    @classmethod
    def settings_customise_sources(cls, *_: Any, **sources: Any) -> tuple[Any, ...]:
        """Read nothing but what `load` hands in, so that a test's environment is the whole."""
        return (sources["init_settings"],)

    @field_validator("grace")
    @classmethod
    def _fits_the_ladder(
        cls, grace: Mapping[str, float], info: ValidationInfo
    ) -> Mapping[str, float]:
        if any(name not in info.data for name in LADDER_FIELDS):
            return grace  # those have faults of their own
        names = info.data["timeframes"]
        unknown = sorted(set(grace) - {"", *names})
        if unknown:
            raise Broken(f"must name timeframes of BARS_TIMEFRAMES, not {', '.join(unknown)}")
        if "" not in grace and set(names) - set(grace):
            raise Broken("must begin with a default, such as 30s,D1=60s")
        try:
            _ladder(names, grace, info.data["revise_for_s"])
        except ValueError as error:
            raise Broken(f"must fit BARS_TIMEFRAMES {','.join(names)} ({error})") from None
        return grace

    @field_validator("kafka_sasl_username", "kafka_sasl_password")
    @classmethod
    def _is_there_for_sasl(cls, text: str, info: ValidationInfo) -> str:
        if not text and "SASL" in info.data.get("kafka_security_protocol", ""):
            raise Broken(f"must be set for {info.data['kafka_security_protocol']}")
        return text

    @field_validator("api_tls_key")
    @classmethod
    def _has_its_certificate(cls, text: str, info: ValidationInfo) -> str:
        if bool(text) is not bool(info.data.get("api_tls_cert")):
            raise Broken("must be set together with API_TLS_CERT, or neither")
        return text

    def grace_s(self, timeframe: str) -> float:
        """Return how long a bar of `timeframe` stays open for stragglers."""
        return _grace_s(self.grace, timeframe)

    def ladder(self, rules: SeriesRules) -> Ladder:
        """Return the timeframes, graces and sessions of the series that follow `rules`.

        Raises:
            ValueError: They do not fit each other.
        """
        known = {name: rules.grace_s.get("", self.grace_s(name)) for name in self.timeframes}
        return _ladder(
            self.timeframes,
            {**known, **rules.grace_s},
            self.revise_for_s,
            rules.profile,
            anchored=rules.anchored,
        )

    @property
    def redis_prefix(self) -> str:
        """First part of every key and channel in the hot store."""
        return f"{self.topic_prefix}tl"

    def topic(self, topic: Topic) -> str:
        """Return the topic's name on the broker."""
        return self.topic_prefix + topic.name

    def group_of(self, role: str) -> str:
        """Return the consumer group of a worker role."""
        return f"{self.topic_prefix}{self.group}-{role}"

    def kafka_client_config(self) -> dict[str, str]:
        """Return what any librdkafka client needs to reach the brokers; holds the password."""
        config = {
            "bootstrap.servers": self.kafka_bootstrap_servers,
            "security.protocol": self.kafka_security_protocol,
        }
        if "SASL" in self.kafka_security_protocol:
            config["sasl.mechanism"] = self.kafka_sasl_mechanism
            config["sasl.username"] = self.kafka_sasl_username
            config["sasl.password"] = self.kafka_sasl_password
        if self.kafka_ssl_ca and "SSL" in self.kafka_security_protocol.split("_"):
            config["ssl.ca.location"] = self.kafka_ssl_ca
        return config

    def faust_credentials(self) -> Any:
        """Return what Faust needs to log in to the brokers, None for PLAINTEXT."""
        from app.broker_login import credentials  # noqa: PLC0415 - Faust takes a second to import

        return credentials(
            self.kafka_security_protocol,
            self.kafka_sasl_mechanism,
            self.kafka_sasl_username,
            self.kafka_sasl_password,
            self.kafka_ssl_ca,
        )


def _ladder(
    names: Collection[str],
    grace: Mapping[str, float],
    revise_for_s: float,
    profile: Profile = ALWAYS,
    *,
    anchored: bool = False,
) -> Ladder:
    grace_us = {name: round(_grace_s(grace, name) * 1e6) for name in names}
    return ladder(names, grace_us, round(revise_for_s * 1e6), profile, anchored=anchored)


def _grace_s(grace: Mapping[str, float], timeframe: str) -> float:
    return grace[timeframe] if timeframe in grace else grace[""]
