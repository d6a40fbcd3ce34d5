"""Stands in for the services outside: a mail provider that is easily overwhelmed, and a lending desk.

Both are slow by a few milliseconds, as the network is.
"""

import asyncio

REFUSALS = 2


class GatewayBusy(ConnectionError):
    """The provider answered 429: try again later."""


async def deliver(address: str, text: str, attempt: int) -> None:
    """Send a message. Refuses the first two attempts of each, as providers do under load."""
    await asyncio.sleep(0.03)
    if attempt <= REFUSALS:
        raise GatewayBusy(f"429 for {address}: attempt {attempt} came too early")


async def loans_of(name: str) -> int:
    """How many books a reader has at home; made up, but always the same for one name."""
    await asyncio.sleep(0.05)
    return sum(name.encode()) % 7
