"""Topics that are not what they were: found at the start, and while a worker runs.

With another partition count a symbol would move away from its state and its earlier records, and
what a missing topic should have taken would be lost. No restart mends either: the runbook says
what does (infra/runbooks.md).
"""

import asyncio
from collections.abc import Callable, Collection, Mapping

from app.errors import BrokerUnavailable, ConfigError

LOOK_EVERY_S = 5.0


def require(names: Collection[str], partitions: int, found: Mapping[str, int]) -> None:
    """Refuse topics that differ.

    Args:
        names: Topics that are read or written, by their names on the broker.
        partitions: How many each must have.
        found: How many each topic of the broker has.

    Raises:
        ConfigError: With a line for each that differs, and what to do.
    """
    faults = [
        f"topic {name} must have {partitions} partitions, had {found.get(name, 0)}"
        for name in names
        if found.get(name) != partitions
    ]
    if not faults:
        return
    if any(name in found for name in names if found.get(name) != partitions):
        faults.append(
            "keep TAPELINE_PARTITIONS as it is, or replay into topics of another "
            "TAPELINE_TOPIC_PREFIX: a symbol would move away from its state and its records"
        )
    if any(name not in found for name in names):
        faults.append("run `tapeline topics apply`: a topic is missing")
    raise ConfigError("\n".join([*faults, "see infra/runbooks.md"]))


async def watch(
    names: Collection[str],
    partitions: int,
    look: Callable[[], Mapping[str, int]],
    refuse: Callable[[ConfigError], None],
) -> None:
    """Look every few seconds, for as long as the worker runs.

    Args:
        names: As `require`.
        partitions: Likewise.
        look: Asks the broker for the partitions of every topic; called in a thread.
        refuse: Ends the worker.
    """
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        try:
            require(names, partitions, await asyncio.to_thread(look))
        except BrokerUnavailable:
            continue  # others find out, and wait
        except ConfigError as error:
            refuse(error)
