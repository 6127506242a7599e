"""Loops over a block, compiled to machine code once and kept on disk beside their source.

A cached function does not notice when a function of *another* module that it calls changes: what
compiled functions call lies in their own module. Arrays they take are contiguous and writable, or
each kind of array is compiled anew.

Signed numbers must not overflow: numba tells LLVM that they never do, and what is compiled is wrong
where they do, though not everywhere. What wraps around is uint64, with constants of uint64: with a
signed number it makes a float.
"""

from collections.abc import Callable
from typing import TypeVar

import numba

Loop = TypeVar("Loop", bound=Callable[..., object])


def compiled(loop: Loop) -> Loop:
    """Compile a function on its first call, to run without the interpreter's lock."""
    made: Loop = numba.njit(nogil=True, cache=True, error_model="numpy")(loop)
    return made
