"""Events: told to whoever listens, in order; a listener that raises changes nothing."""

from __future__ import annotations

import logging

import pytest

from ardiq.core.events import FAILED, KINDS, STARTED, SUCCEEDED, Event, Events

EVENT = Event(SUCCEEDED, "id", "shop.add", "default", "high")


def test_listeners_are_told_in_order() -> None:
    """R18: each once, however often it subscribed, until it is taken off."""
    events, told = Events(), list[str]()

    def first(event: Event) -> None:
        told.append("first")

    def second(event: Event) -> None:
        told.append("second")

    events.subscribe(first)
    events.subscribe(second)
    events.subscribe(first)
    events.emit(EVENT)
    events.unsubscribe(first)
    events.unsubscribe(first)
    events.emit(EVENT)
    assert told == ["first", "second", "second"]


def test_a_listener_that_raises_is_logged_and_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """F2: the others are told all the same."""
    events, told = Events(), list[Event]()

    def broken(event: Event) -> None:
        raise RuntimeError("listener")

    events.subscribe(broken)
    events.subscribe(told.append)
    with caplog.at_level(logging.ERROR, "ardiq"):
        events.emit(EVENT)
    assert told == [EVENT]
    assert "listener of ardiq events raised" in caplog.text and "RuntimeError: listener" in caplog.text


def test_a_listener_may_leave_while_it_is_told() -> None:
    """R18: changing the list from within does not skip the next one."""
    events, told = Events(), list[str]()

    def once(event: Event) -> None:
        told.append("once")
        events.unsubscribe(once)

    events.subscribe(once)
    events.subscribe(lambda event: told.append("other"))
    events.emit(EVENT)
    events.emit(EVENT)
    assert told == ["once", "other", "other"]


def test_nothing_is_made_that_nobody_wants() -> None:
    """H8: asked now and then, not for each job, so that a change of the log level takes effect soon."""
    events, wants = Events(), {STARTED}
    assert STARTED not in events.wanted
    listener = events.subscribe(lambda event: None, wants.__contains__)
    assert STARTED in events.wanted and FAILED not in events.wanted
    wants.add(FAILED)
    events.look()
    assert FAILED in events.wanted
    events.unsubscribe(listener)
    assert not events.wanted
    events.subscribe(lambda event: None)
    assert STARTED in events.wanted and FAILED in events.wanted


def test_an_event_cannot_be_changed_by_a_listener() -> None:
    """R18: all listeners see the same."""
    with pytest.raises(AttributeError):
        EVENT.id = "other"  # type: ignore[misc]


def test_every_listener_is_asked_what_it_wants() -> None:
    """F2: also when another wants it already, since it may have to make ready."""
    asked: list[str] = []
    told = Events()
    told.subscribe(lambda event: None)
    told.subscribe(lambda event: asked.append(event.id), lambda kind: bool(asked.append(kind)) or True)
    assert asked == list(KINDS)
