"""Which jobs a command line means, and doing something to them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.core.management.base import CommandError

from ardiq.connection import Broker
from ardiq.core.job import JobStatus, check_id
from ardiq.core.outcome import pack_abort
from ardiq.deadletters import SEARCHED, Wanted, search
from ardiq.management import jobs
from ardiq.store import browsing, letters, verbs

AGAIN = "FAX"  # states in which a job may be run again: it has ended, and has not done its work
CHUNK = 200  # jobs of one script that takes ids out of lanes


def locate(
    brokers: Iterable[Broker], ids: Sequence[str]
) -> tuple[list[tuple[Broker, list[str]]], dict[str, str]]:
    """The queue of each job with its ids; and {id: status} of all that were found.
    Raises CommandError for an id that is none, or is in several queues."""
    ids = list(dict.fromkeys(ids))
    for id in ids:
        try:
            check_id(id)
        except ValueError as error:
            raise CommandError(jobs.line(error).replace("task_id=", "ID ")) from None
    found: dict[str, str] = {}
    located = []
    for own in brokers:
        there = {one.view.id: jobs.status_of(one) for one in jobs.readings(own, ids) if one}
        if twice := [id for id in there if id in found]:
            raise CommandError(f"{jobs.line(twice[0])} is in several queues: name one with --queue.")
        found |= there
        if there:
            located.append((own, list(there)))
    return located, found


def check_selection(options: dict[str, Any], filters: bool = True) -> None:
    chosen = bool(options["ids"]) + bool(options["task"] or options["group"]) + options["all"]
    if options["ids"] and options["limit"] is not None:
        raise CommandError("--limit goes with --task, --group and --all: leave it out.")
    if chosen != 1:
        raise CommandError(
            "Name jobs by their ids, or dead letters by --task, --group or --all: one of these."
            if filters
            else "Name jobs by their ids."
        )


def find(own: Broker, options: dict[str, Any]) -> tuple[list[str], int, bool]:
    """Ids in a queue, how many jobs were looked at, and whether that was all."""
    limit, text = options["limit"], options["search"]
    wanted = [JobStatus(one) for one in options["status"] or ()]
    if options["lane"] and wanted not in ([], [JobStatus.QUEUED]):
        raise CommandError("--lane is about jobs that wait in a lane: leave --status out.")
    if options["group"] and wanted not in ([], [JobStatus.FAILED]):
        raise CommandError("--group is about dead letters: leave --status out.")
    if options["lane"]:
        wanted = [JobStatus.QUEUED]
    if options["group"] or (text and wanted == [JobStatus.FAILED]):
        sought = Wanted(options["task"], "", text, options["group"])
        letters_found = letters.drive(own.store, search(own, sought, limit, 0))
        return [info.id for info in letters_found], letters_found.searched, letters_found.complete
    lanes = options["lane"] or own.options.priorities
    places = browsing.places(wanted or list(browsing.STATUSES), lanes)
    keep = browsing.Keep(task=options["task"], text=text)
    ids: list[str] = []
    looked = 0
    while len(ids) < limit and looked < SEARCHED:
        call = browsing.stretch(own.keys, places, looked, keep=keep)
        stretch: browsing.Stretch = own.store.run(call)
        ids += [spot.id for spot in stretch.spots]
        looked += stretch.looked
        if stretch.looked < browsing.STRETCH:
            return ids[:limit], looked, len(ids) <= limit
    return ids[:limit], looked, False


def act(own: Broker, word: str, ids: Sequence[str], status: dict[str, str]) -> dict[str, str]:
    """Do it; {id: why it was not done, '' when it was}. ``status`` says then what an abort did."""
    if word == "aborted":
        ttl = own.options.result_ttl_ms
        calls = [verbs.abort(own.keys, id, ttl, pack_abort(own.codec, id), int) for id in ids]
        late = "is {}: there is nothing to stop, or it was told before"
        refused = {}
        for id, done in zip(ids, own.store.run_many(calls), strict=True):
            refused[id] = "" if done else late.format(status[id])
            status[id] = "told to stop" if done == verbs.TOLD else "aborted" if done else status[id]
        return refused
    if word == "deleted":
        gone: dict[str, bool] = own.store.run(letters.delete(own.keys, ids))
        return {id: "" if done else "is running; abort it first" for id, done in gone.items()}
    again: dict[str, letters.Replayed] = own.store.run(letters.replay(own.keys, ids, states=AGAIN))
    why = {"queued": "", "slot taken": "an identical job waits or runs (unique)"}
    return {id: why.get(answer, f"is {status[id]}") for id, answer in again.items()}
