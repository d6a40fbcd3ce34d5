"""store remembers: the only room that talks to Redis, and keys.py the only file that spells a key.

It may import core and redis. It never runs user code, starts a job, decides a policy or knows Django.
"""
