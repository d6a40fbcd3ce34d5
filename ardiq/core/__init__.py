"""core thinks: plain Python that computes jobs, options, bytes and verdicts.

It may import the standard library, msgpack and the cron library. It never does I/O, looks at a
clock, starts a thread or an event loop, and has never heard of redis or Django.
"""
