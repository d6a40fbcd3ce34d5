"""Asking before something is destroyed, and telling how far a long operation is."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

from django.core.management.base import CommandError, CommandParser

from ardiq.store.letters import Told

EVERY = 1.0  # seconds between two lines of progress


def add_yes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--yes", "--noinput", "--no-input", action="store_false", dest="interactive", help="do not ask"
    )


def sure(write: Callable[[str], object], what: str, interactive: bool) -> bool:
    """Whether somebody says yes. Raises CommandError where nobody can be asked."""
    if not interactive:
        return True
    if not sys.stdin.isatty():
        raise CommandError(f"{what} There is no terminal to ask at; say --yes.")
    write(what)
    try:
        answer = input("Go on? [y/N] ")
    except (EOFError, KeyboardInterrupt):
        write("")
        answer = ""
    if answer.strip().lower() in ("y", "yes"):
        return True
    write("Nothing was done.")
    return False


def progress(write: Callable[[str], object]) -> Told:
    """Told by long operations after each step; a line about each second."""
    last = time.monotonic()

    def told(done: int, left: int) -> None:
        nonlocal last
        if time.monotonic() - last >= EVERY:
            last = time.monotonic()
            write(f"  {done:,} so far, {left:,} left to look at")

    return told


def verbs(parser: CommandParser) -> Callable[[str, str], CommandParser]:
    """Makes the subcommands of a command: given a name and what it does, the parser of its arguments."""
    every = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(name: str, help: str) -> CommandParser:
        made: CommandParser = every.add_parser(name, help=help, description=help)
        accept_stock_options(made)
        return made

    return verb


def accept_stock_options(parser: CommandParser) -> None:
    """Let a subcommand take Django's own options behind its name, too."""
    stock = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    for option in ("-v", "--verbosity"):
        stock.add_argument(option, type=int, choices=[0, 1, 2, 3], help=argparse.SUPPRESS)
    for option in ("--settings", "--pythonpath"):
        stock.add_argument(option, help=argparse.SUPPRESS)
    for option in ("--traceback", "--no-color", "--force-color", "--skip-checks"):
        stock.add_argument(option, action="store_true", help=argparse.SUPPRESS)
    for action in stock._actions:
        parser._add_action(action)
