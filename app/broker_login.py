"""How Faust's own consumer logs in to the brokers; librdkafka is told by the settings."""

import ssl

from faust import SASLCredentials, SSLCredentials


def credentials(
    protocol: str, mechanism: str, username: str, password: str, ca_file: str
) -> SASLCredentials | SSLCredentials | None:
    """Return Faust's credentials, None for PLAINTEXT.

    Args:
        protocol: As librdkafka's ``security.protocol``.
        mechanism: As librdkafka's ``sasl.mechanism``.
        username: For SASL.
        password: For SASL.
        ca_file: PEM file of the authority to trust; empty trusts the system's.
    """
    # Faust's SSLCredentials without a context raises TypeError, so it always gets one.
    context = (
        ssl.create_default_context(cafile=ca_file or None) if "SSL" in _parts(protocol) else None
    )
    if "SASL" in _parts(protocol):
        return SASLCredentials(
            username=username, password=password, mechanism=mechanism, ssl_context=context
        )
    return SSLCredentials(context) if context is not None else None


def _parts(protocol: str) -> list[str]:
    return protocol.split("_")
