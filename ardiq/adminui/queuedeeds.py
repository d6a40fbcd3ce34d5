"""What may be done to queues: pause, resume, purge, move what waits."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ardiq import conf
from ardiq.adminui import elsewhere
from ardiq.adminui.asking import broker_of
from ardiq.adminui.controlling import Deed, DeedForm, Text
from ardiq.adminui.filters import number
from ardiq.adminui.text import plain
from ardiq.models import Queue
from ardiq.store import controls, letters, moving
from ardiq.store.controls import REASON_MOST
from ardiq.store.scripts import Call

MOST_ELSEWHERE = 2_000  # jobs that one request moves to another queue: about as long
MOST = 100_000  # jobs that one request deletes or moves: about 2 s of it


class LanesForm(DeedForm):
    """Asks whether all lanes are meant or one of them, where there is something to choose: of one queue."""

    lane = forms.ChoiceField(label=gettext_lazy("Lane"), required=False)

    def lanes(self, queue: Queue) -> list[str]:
        raise NotImplementedError

    def prepare(self) -> None:
        lanes = self.lanes(self.rows[0]) if len(self.rows) == 1 else []
        if lanes:
            choices = [("", _("all lanes")), *((lane, plain(lane)) for lane in lanes)]
            self.fields["lane"].choices = choices  # type: ignore[attr-defined]
        else:
            del self.fields["lane"]

    def clean(self) -> None:
        """Never take all lanes for the one that was chosen when there was a choice."""
        lane = self.data.get("lane")
        if lane and "lane" not in self.fields:
            text = _("Lane %(lane)s cannot be chosen any more: this would be about all lanes.")
            raise ValidationError(text % {"lane": plain(lane, 200)})


class PauseForm(LanesForm):
    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        required=False,
        max_length=REASON_MOST,
        widget=forms.TextInput(attrs={"class": "vTextField"}),
        help_text=gettext_lazy("Shown to everybody who looks at the queue, with your name."),
    )

    def lanes(self, queue: Queue) -> list[str]:
        paused = {one.lane for one in queue.seen.pauses}
        every = [lane for lane in reversed(queue.lanes) if lane not in paused]
        return every if len(queue.lanes) > 1 else []


class ResumeForm(LanesForm):
    def lanes(self, queue: Queue) -> list[str]:
        pauses = queue.seen.pauses
        return [one.lane for one in pauses if one.lane] if len(pauses) > 1 else []


class LaneForm(DeedForm):
    """Asks for one of the lanes of a queue, with what waits in each."""

    lane = forms.ChoiceField(label=gettext_lazy("Lane"))

    def prepare(self) -> None:
        [queue] = self.rows
        self.lanes = [
            (lane, f"{plain(lane)} ({number(count)})") for lane, count in reversed(queue.lanes.items())
        ]
        self.fields["lane"].choices = self.lanes  # type: ignore[attr-defined]


class PurgeForm(LaneForm):
    name = forms.CharField(
        label=gettext_lazy("Name of the queue"),
        widget=forms.TextInput(attrs={"class": "vTextField", "autocomplete": "off"}),
        help_text=gettext_lazy("Type it to show that you mean this queue."),
    )

    def prepare(self) -> None:
        super().prepare()
        self.fields["lane"].required = False
        self.fields["lane"].choices = [("", _("all lanes")), *self.lanes]  # type: ignore[attr-defined]

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if name.strip() != self.rows[0].name:
            raise ValidationError(_("This is not the name of the queue."))
        return name


class MoveForm(LaneForm):
    to = forms.ChoiceField(label=gettext_lazy("To the end of lane"))

    def prepare(self) -> None:
        super().prepare()
        self.fields["lane"].label = _("From lane")
        self.fields["to"].choices = self.lanes  # type: ignore[attr-defined]
        [queue] = self.rows
        fullest = max(queue.lanes, key=lambda lane: queue.lanes[lane])
        self.fields["lane"].initial = fullest
        self.fields["to"].initial = next((lane for lane, _text in self.lanes if lane != fullest), fullest)

    def clean(self) -> None:
        if self.cleaned_data.get("lane") == self.cleaned_data.get("to"):
            raise ValidationError(_("They are in this lane already: choose two lanes."))


class ElsewhereForm(LaneForm):
    to = forms.ChoiceField(label=gettext_lazy("To queue"))

    def prepare(self) -> None:
        super().prepare()
        [queue] = self.rows
        self.fields["lane"].label = _("From lane")
        self.fields["lane"].initial = max(queue.lanes, key=lambda lane: queue.lanes[lane])
        others = [(alias, alias) for alias in self.queues if alias != queue.name]
        self.fields["to"].choices = others  # type: ignore[attr-defined]


def _run(queue: Queue, call: Call) -> Any:
    return broker_of(queue.name).store.run(call)


def _pause(queue: Queue, data: dict[str, Any], who: str) -> str:
    own, lane, reason = broker_of(queue.name), data.get("lane", ""), data["reason"]
    own.store.run(controls.pause(own.keys, lane, reason, who))
    if lane:
        text = _("Lane %(lane)s is paused: %(reason)s") if reason else _("Lane %(lane)s is paused.")
        return text % {"lane": plain(lane), "reason": reason}
    return _("Paused: %s") % reason if reason else _("Paused.")


def _resume(queue: Queue, data: dict[str, Any], who: str) -> str:
    """One lane, or else the queue and what is paused of its lanes: one button goes back to normal."""
    own, lane = broker_of(queue.name), data.get("lane", "")
    lanes = [lane] if lane else [one.lane for one in queue.seen.pauses]
    if not any(own.store.run_many([controls.resume(own.keys, one) for one in lanes])):
        return ""
    return _("Lane %(lane)s is resumed.") % {"lane": plain(lane)} if lane else _("Resumed.")


def _purge(queue: Queue, data: dict[str, Any], who: str) -> str:
    own, lane = broker_of(queue.name), data["lane"]
    places = [f"lane:{one}" for one in ([lane] if lane else queue.lanes)]
    done = letters.drive(own.store, letters.purge(own.keys, places, most=MOST))
    words = {"count": number(done), "lane": plain(lane), "most": number(MOST)}
    if not done:
        return ""
    text = (
        _("Deleted %(count)s waiting jobs of lane %(lane)s.")
        if lane
        else _("Deleted %(count)s waiting jobs.")
    )
    more = _(" More are left: one purge takes %(most)s.") if done >= MOST else ""
    return (text + more) % words


def _move(queue: Queue, data: dict[str, Any], who: str) -> str:
    own = broker_of(queue.name)
    done = letters.drive(own.store, moving.shift(own.keys, data["lane"], data["to"], most=MOST))
    if not done:
        return ""
    more = _(" More are left: one move takes %(most)s.") if done >= MOST else ""
    text = _("Moved %(count)s waiting jobs from lane %(lane)s to lane %(to)s.") + more
    return text % {
        "count": number(done), "lane": plain(data["lane"]), "to": plain(data["to"]), "most": number(MOST),
    }  # fmt: skip


def _elsewhere(queue: Queue, data: dict[str, Any], who: str) -> str:
    moved = elsewhere.move_to(queue.name, data["lane"], data["to"], MOST_ELSEWHERE)
    if not moved.count and not moved.left:
        return ""
    text = _("Moved %(count)s waiting jobs of lane %(lane)s to queue %(to)s.") % {
        "count": number(moved.count), "lane": plain(data["lane"]), "to": data["to"],
    }  # fmt: skip
    more = moved.count + sum(moved.left.values()) >= MOST_ELSEWHERE
    rest = _("More are left: one move takes %s.") % number(MOST_ELSEWHERE) if more else ""
    return " ".join(filter(None, (text, *elsewhere.reasons(moved), rest)))


def _no_other(queue: Queue) -> Text:
    return _nothing_waits(queue) if len(conf.aliases()) > 1 else _("there is no other queue")


def _nothing_waits(queue: Queue) -> Text:
    return "" if queue.waiting else _("no job waits there")


DEEDS = (
    Deed(
        "pause", "pause_queue", gettext_lazy("Pause"), gettext_lazy("Pause queues"),
        gettext_lazy(
            "Workers take no more jobs of it until it is resumed. What runs goes on, and jobs are still "
            "enqueued and scheduled."
        ),
        _pause, lambda queue: _("it is paused already") if queue.paused else "", PauseForm,
    ),
    Deed(
        "resume", "pause_queue", gettext_lazy("Resume"), gettext_lazy("Resume queues"),
        gettext_lazy("Workers take its jobs again, also of lanes that were paused by themselves."),
        _resume, lambda queue: "" if queue.seen.pauses else _("it is not paused"), ResumeForm,
    ),
    Deed(
        "move", "purge_queue", gettext_lazy("Move to another lane"), gettext_lazy("Move waiting jobs"),
        gettext_lazy(
            "All that waits in one lane goes to the end of another, in its order. Ids and calls stay as they "
            "are, and what runs or is scheduled is left alone."
        ),
        _move, lambda queue: _nothing_waits(queue) if len(queue.lanes) > 1 else _("it has one lane"),
        MoveForm,
        alone=True,
    ),
    Deed(
        "elsewhere", "purge_queue", gettext_lazy("Move to another queue"),
        gettext_lazy("Move waiting jobs to another queue"),
        gettext_lazy(
            "What waits in one lane goes to the end of the lane of that name in another queue, or of its "
            "default lane, under the same ids. Jobs stay whose tasks are not known there, or which have run "
            "before. Whoever waits here for a result finds that the job is gone."
        ),
        _elsewhere, _no_other, ElsewhereForm,
        alone=True,
    ),
    Deed(
        "purge", "purge_queue", gettext_lazy("Purge"), gettext_lazy("Delete all that waits"),
        gettext_lazy(
            "Jobs that are ready and wait are deleted: they never run, and nothing of them is kept. What "
            "runs or is scheduled is left alone."
        ),
        _purge, _nothing_waits, PurgeForm, destroys=True, alone=True,
    ),
)  # fmt: skip
