"""The command ``tapeline``. Exit status: 0 done, 1 not, 2 wrong usage or configuration."""

import os
import sys

from app.cli.commands import commands
from app.cli.terminal import note
from app.errors import ConfigError, TapelineError


def main() -> None:
    """Run the command that the arguments name."""
    try:
        commands()
    except ConfigError as error:
        note(f"tapeline: {error}")
        sys.exit(2)
    except TapelineError as error:
        note(f"tapeline: {error}")
        sys.exit(1)
    except BrokenPipeError:
        # The reader of our output has gone, as with `| head`; Python must not complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
