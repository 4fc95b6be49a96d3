"""Long computations beside the event loop, in one thread: the loop goes on, in turns of a few milliseconds."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

# A body of so many bytes is read and understood within a few milliseconds, whatever it holds.
BYTES_AT_ONCE = 4096

# One: several would share the interpreter with the loop, which then has to wait for a turn of each of them.
_thread = ThreadPoolExecutor(1, "kith-aside")


async def compute(size: int, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What the function makes of something that so many bytes have asked for; beside the loop where they are many.

    The function has no effects, and shares nothing that changes.
    """
    if size <= BYTES_AT_ONCE:
        return function(*args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(_thread, partial(function, *args, **kwargs))
