"""harness drives the benchmarks: environments, a server of its own, workers, rows, the report.

It needs the standard library alone, so that any python3 >= 3.11 can start it; what is measured runs in
the environments that it makes. It talks to no server but the one it started.
"""
