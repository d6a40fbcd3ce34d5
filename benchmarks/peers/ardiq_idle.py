"""What the peer stands on, imported alone: an interpreter with asyncio and msgpack. Prints its RSS."""

import asyncio  # noqa: F401

import msgpack  # noqa: F401
from rss import report

report()
