"""An app that traces: the worker and its child processes write their spans to a file."""
