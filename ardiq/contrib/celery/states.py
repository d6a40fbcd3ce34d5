"""``update_state``: a state and its meta as the progress of a job, and back.

The numbers ``current`` and ``total`` are those of the progress; the state and all else stand in its message,
so that people can read it: ``PROGRESS · status: resizing · step: 2``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from ardiq.core.context import MESSAGE_MOST, JobContext
from ardiq.core.reports import Progress

BETWEEN = " · "
ENGINE = {"PENDING", "RECEIVED", "RETRY", "SUCCESS", "FAILURE", "REVOKED", "REJECTED", "IGNORED"}
_NAME = re.compile(r"[A-Z][A-Z0-9_]*")


def tell(job: JobContext | None, state: str | None, meta: Any) -> None:
    """Raises NotImplementedError for what progress cannot carry."""
    if not isinstance(meta, Mapping) or "current" not in meta:
        raise NotImplementedError(
            "update_state() tells progress of the job that runs: meta={'current': ..., 'total': ...}, and "
            "texts and numbers besides."
        )
    state = state or "PROGRESS"
    if state in ENGINE or not _NAME.fullmatch(state):
        raise NotImplementedError(
            f"update_state(state={state!r}): how a job ends, or is retried, is told by its task returning or "
            "raising; give a state of your own in capitals, such as 'PROGRESS'."
        )
    rest = {key: value for key, value in meta.items() if key not in ("current", "total")}
    text = BETWEEN.join([state, *(f"{key}: {_spelt(key, value)}" for key, value in rest.items())])
    if len(text) > MESSAGE_MOST:
        text = f"{text[: MESSAGE_MOST - 1]}…"
    if job is not None:
        job.progress(meta["current"], meta.get("total"), text)


def _spelt(key: object, value: object) -> str:
    """Texts as they are, unless they would be read as something else."""
    if isinstance(value, str) and BETWEEN.strip() not in value and _read(value) == value:
        return value
    try:
        return json.dumps(value).replace(BETWEEN.strip(), "\\u00b7")
    except (TypeError, ValueError):
        raise NotImplementedError(
            f"update_state(meta={{{key!r}: {type(value).__name__}}}): give texts, numbers, lists and dicts."
        ) from None


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def read(progress: Progress) -> tuple[str | None, dict[str, Any]]:
    """(state, meta); the state is None where the task has told its progress in another way."""
    meta: dict[str, Any] = {"current": progress.done}
    if progress.total is not None:
        meta["total"] = progress.total
    state, *rest = progress.message.split(BETWEEN)
    pairs = [one.partition(": ") for one in rest]
    if not _NAME.fullmatch(state) or not all(colon for _, colon, _ in pairs):
        return None, meta | ({"message": progress.message} if progress.message else {})
    return state, meta | {key: _read(text) for key, _, text in pairs}
