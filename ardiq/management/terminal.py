"""Where pages are shown: with colours by rich where that is installed, else as plain text."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol, TextIO

from ardiq.management.tables import Block, Cell, Line, Style, fitting, laid_out

COLOURS: dict[Style, str] = {
    "head": "bold", "good": "green", "warn": "yellow", "bad": "bold red", "dim": "dim",
}  # fmt: skip
# The other screen of the terminal, without a cursor; and back to where it was.
_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
_TOP, _REST_OF_LINE, _REST = "\x1b[H", "\x1b[K", "\x1b[J"

Page = Callable[[], Iterable[Block]]


class Screen(Protocol):
    """One way to show pages."""

    def show(self, blocks: Iterable[Block]) -> None: ...
    def watch(self, page: Page, seconds: float) -> None:
        """Show it again and again, until KeyboardInterrupt."""


def screen(out: TextIO, *, no_color: bool = False, force_color: bool = False) -> Screen:
    """The way that fits what is written to."""
    terminal = out.isatty() and os.environ.get("TERM") != "dumb"
    colour = force_color or (terminal and not no_color and not os.environ.get("NO_COLOR"))
    if colour and importlib.util.find_spec("rich") is not None:
        return Rich(out, terminal)
    return Plain(out, terminal)


class Plain:
    """Text and nothing else, but that a terminal is painted over while it is watched."""

    def __init__(self, out: TextIO, terminal: bool) -> None:
        self._out, self._terminal = out, terminal

    @property
    def _room(self) -> int | None:
        # A file or a pipe has no width: whoever reads it wants all of it.
        return shutil.get_terminal_size().columns if self._terminal else None

    def show(self, blocks: Iterable[Block]) -> None:
        try:
            for pieces in laid_out(blocks, self._room):
                self._out.write(_text(pieces) + "\n")
            self._out.flush()
        except BrokenPipeError:
            # Whoever reads has seen enough, as head has. What is still in the buffer must go somewhere, or
            # the interpreter complains at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._out.fileno())
            raise SystemExit(0) from None

    def watch(self, page: Page, seconds: float) -> None:
        if not self._terminal:
            while True:
                self.show([*page(), []])
                time.sleep(seconds)
        try:
            self._out.write(_ENTER)
            while True:
                size = shutil.get_terminal_size()
                lines = fitting(page(), size.columns, size.lines)
                text = "\n".join(_text(pieces) + _REST_OF_LINE for pieces in lines)
                self._out.write(f"{_TOP}{text}{_REST}")
                self._out.flush()
                time.sleep(seconds)
        finally:
            self._out.write(_LEAVE)
            self._out.flush()


def _text(pieces: Line) -> str:
    return "".join(piece.text for piece in pieces).rstrip()


class Rich:
    """With colours; the library knows what the terminal can do."""

    def __init__(self, out: TextIO, terminal: bool) -> None:
        from rich.console import Console

        self._console = Console(
            file=out, force_terminal=True, highlight=False, markup=False, emoji=False,
            width=None if terminal else int(os.environ.get("COLUMNS") or 200),
        )  # fmt: skip

    def _lines(self, blocks: Iterable[Block]) -> list[list[Cell]]:
        return list(laid_out(blocks, self._console.width))

    def _text(self, lines: list[list[Cell]]) -> Any:
        from rich.text import Text

        text = Text("\n").join(
            Text.assemble(*((piece.text, COLOURS.get(piece.style, "")) for piece in pieces))
            for pieces in lines
        )
        text.no_wrap, text.overflow = True, "ignore"
        return text

    def show(self, blocks: Iterable[Block]) -> None:
        self._console.print(self._text(self._lines(blocks)))

    def watch(self, page: Page, seconds: float) -> None:
        from rich.live import Live

        with Live(console=self._console, screen=True, auto_refresh=False, vertical_overflow="crop") as live:
            while True:
                lines = fitting(page(), self._console.width, self._console.height)
                live.update(self._text(lines), refresh=True)
                time.sleep(seconds)


@contextmanager
def until_told() -> Iterator[None]:
    """Ctrl-C and SIGTERM end the block quietly."""

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, stop) if main else None
    try:
        with suppress(KeyboardInterrupt):
            yield
    finally:
        if main:
            signal.signal(signal.SIGTERM, before)
