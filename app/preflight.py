"""What no restart mends, found before a worker starts: every refused login, all at once.

A server that is away is waited for. One that answers, and will not have us, is a fault of the
configuration: its password, its certificate, the name of its database.
"""

import ssl
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from app.errors import BrokerUnavailable, ConfigError, LoginRefused, StoreUnavailable
from app.settings import Settings
from connectors.hot_redis import RedisHotStore
from connectors.postgres import Connections

BROKER_WITHIN_S = 5.0
STORE_WITHIN_S = 3
REFUSALS = frozenset(
    {
        KafkaError._AUTHENTICATION,  # noqa: SLF001 - librdkafka's own errors begin with a line
        KafkaError._SSL,  # noqa: SLF001
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.UNSUPPORTED_SASL_MECHANISM,
    }
)


def require(roles: Sequence[str], settings: Settings) -> None:
    """Refuse to start where a server refuses us.

    Args:
        roles: What is going to run.
        settings: Where the servers are.

    Raises:
        ConfigError: With a line for each fault.
        BrokerUnavailable: No broker answered, and nothing else is wrong.
    """
    looks: list[Callable[[Settings], str]] = [_kafka]
    looks += [look for role, look in (("hot", _redis), ("warm", _postgres)) if role in roles]
    with ThreadPoolExecutor(len(looks)) as pool:
        asked = [pool.submit(look, settings) for look in looks]
    faults, silent = [], None
    for each in asked:
        try:
            faults += [fault for fault in [each.result()] if fault]
        except BrokerUnavailable as error:
            silent = error
    if faults:
        raise ConfigError("\n".join([*faults, *([str(silent)] if silent else [])]))
    if silent:
        raise silent


def _kafka(settings: Settings) -> str:
    protocol, ca_file = settings.kafka_security_protocol, settings.kafka_ssl_ca
    if ca_file and "SSL" in protocol.split("_"):
        try:
            ssl.create_default_context(cafile=ca_file)
        except OSError as error:
            return f"KAFKA_SSL_CA must be a file of PEM certificates, was {ca_file!r}: {error}"
    said: list[KafkaError] = []
    quiet = {"log_level": 0, "error_cb": said.append}
    admin = AdminClient({**settings.kafka_client_config(), **quiet})
    deadline = time.monotonic() + BROKER_WITHIN_S
    while time.monotonic() < deadline:
        try:
            admin.list_topics(timeout=0.5)
        except KafkaException:
            admin.poll(0)
        else:
            return ""
        refused = [error.str() for error in said if error.code() in REFUSALS]
        if refused:
            return (
                f"KAFKA_SECURITY_PROTOCOL {protocol} must be accepted by the broker: {refused[0]}"
            )
    last = f": {said[-1].str()}" if said else ""
    where = settings.kafka_bootstrap_servers
    raise BrokerUnavailable(f"no broker of {where} answered in {BROKER_WITHIN_S:.0f} s{last}")


def _redis(settings: Settings) -> str:
    with closing(RedisHotStore(settings.redis_url, timeout_s=STORE_WITHIN_S)) as store:
        return _refusal("REDIS_URL", store.ping)


def _postgres(settings: Settings) -> str:
    connections = Connections(settings.postgres_url, connect_timeout_s=STORE_WITHIN_S)
    return _refusal("POSTGRES_URL", lambda: connections.connect().close())


def _refusal(variable: str, call: Callable[[], object]) -> str:
    try:
        call()
    except LoginRefused as error:
        return f"{variable} must be accepted by its server: {error}"
    except StoreUnavailable:
        return ""  # away: the worker waits for it
    return ""
