"""How a program ends that cannot do its work: with words for a person, not with a traceback."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from app.errors import BrokerUnavailable, ConfigError, RegistryError

EXIT_CONFIG = 2
"""Exit status of a wrong configuration, which no restart mends."""


@contextmanager
def in_words() -> Iterator[None]:
    """End the process when its configuration is wrong, with status `EXIT_CONFIG`.

    Likewise with status 1 when Kafka or the registry does not answer, which a restart may mend.
    All else passes: it is a fault of the program.
    """
    try:
        yield
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(EXIT_CONFIG)
    except (BrokerUnavailable, RegistryError) as error:
        sys.exit(str(error))
