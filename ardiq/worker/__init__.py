"""worker works: event loop, threads, signals, the clock and user code.

It may import core and store. It never spells a key, sends a raw command, reads settings or knows Django.
"""
