"""Every error this application raises on purpose.

    TapelineError
    ├── ConfigError           start-up only; names every fault at once
    ├── InvalidTick           our own producer refuses it    → the caller, before anything is sent
    ├── RegistryError
    │   ├── RegistryUnavailable   no answer now              → wait, retry
    │   └── UnknownSchema         the id is not registered   → dead letters
    ├── FeedUnavailable       a venue does not answer        → reconnect, later
    ├── BrokerUnavailable     Kafka cannot answer now        → wait, retry, then exit without acking
    ├── LogShrunk             a topic ends before what was read of it → a person is needed
    ├── DeliveryFailed        Kafka refused what we produced → exit without acking
    ├── LeaseLost             partitions may be another's by now → exit without acking
    └── StoreError
        ├── StoreUnavailable  the store cannot answer now    → wait, retry
        │   └── LoginRefused  password, certificate, database → a wrong configuration at the start
        └── StoreRejected     the store refuses these rows   → dead letters

A bad tick is no error on the way in: normalization returns it as a rejection, because feeds
send them.
"""


class TapelineError(Exception):
    """Root of the tree."""


class ConfigError(TapelineError):
    """The configuration is wrong; the message names every fault."""


class InvalidTick(TapelineError):
    """A tick our own producer refuses before anything is sent."""


class RegistryError(TapelineError):
    """The schema registry."""


class RegistryUnavailable(RegistryError):
    """The registry did not answer."""


class UnknownSchema(RegistryError):
    """The registry has no schema of that id."""


class FeedUnavailable(TapelineError):
    """A live feed has no connection, or was refused."""


class BrokerUnavailable(TapelineError):
    """Kafka did not answer in time."""


class LogShrunk(TapelineError):
    """A topic ends before what was already read of it: it was deleted and made again."""

    def __init__(self, found: str) -> None:
        super().__init__(f"{found}; see infra/runbooks.md")


class DeliveryFailed(TapelineError):
    """Kafka refused, or never acknowledged, a record we produced."""


class LeaseLost(TapelineError):
    """The group has not answered for so long that another may own the partitions."""


class StoreError(TapelineError):
    """Redis or Postgres."""


class StoreUnavailable(StoreError):
    """The store did not answer; the same call may succeed later."""


class LoginRefused(StoreUnavailable):
    """The store answers, and does not let us in."""


class StoreRejected(StoreError):
    """The store will never take these rows."""
