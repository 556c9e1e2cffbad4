"""Sleep until a descriptor is readable, in a thread or in an event loop."""

import asyncio
import select
from collections.abc import Sequence


def wait_readable(descriptors: Sequence[int], timeout_s: float) -> None:
    """Return when one of them is readable, or after the time-out."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    poll.poll(timeout_s * 1000)


async def readable(descriptors: Sequence[int], timeout_s: float) -> None:
    """The same for asyncio."""
    loop = asyncio.get_running_loop()
    happened = asyncio.Event()
    for descriptor in descriptors:
        loop.add_reader(descriptor, happened.set)
    try:
        async with asyncio.timeout(timeout_s):
            await happened.wait()
    except TimeoutError:
        pass
    finally:
        for descriptor in descriptors:
            loop.remove_reader(descriptor)
