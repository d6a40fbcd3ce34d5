"""What each option may be, as a table, and the complaints about what it may not.

Codes are stable; a settings check shows them as ``ardiq.E001``:

====  ==========================================================================
E001  the ARDIQ setting is not a dict of dicts (queue name -> options)
E002  unknown option
E003  a queue name with characters that are not allowed, or too long
E004  PRIORITIES is not a list of unique, valid lane names, or is empty
E005  DEFAULT_PRIORITY is not one of PRIORITIES
E006  LANE_WEIGHTS or LANE_LIMITS is not a dict of known lanes to positive numbers
E007  a number is not whole, or outside its bounds
E008  BACKOFF_MS is neither milliseconds nor callable nor "exponential"
E009  a switch is neither True nor False
E010  REDIS_URL is not a URL of a known scheme
E011  REDIS_OPTIONS is not a dict of names, or has sentinels and no service_name
E012  SERIALIZER and DESERIALIZER do not come as a pair of importable callables
E013  TIME_ZONE is unknown
E014  SIGNING_KEY is no text or bytes or list of them, or an empty one
E015  PROPAGATE names what is neither language nor time_zone nor an importable ContextVar
E026  ADMIN_ENQUEUE is neither "marked" nor "all"
E027  REDACTOR is not an importable callable, or TRACE_URL no address with {trace} in it
====  ==========================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ardiq.core import propagate, values
from ardiq.core.address import GROUPS, SCHEMES, SINGLE, parse
from ardiq.core.dotted import resolve
from ardiq.core.names import check_name, did_you_mean
from ardiq.core.redact import MASK, masked, safe_url, shown

TEN_YEARS_MS = 315_360_000_000


@dataclass(frozen=True, slots=True)
class Complaint:
    """One thing that is wrong: its code, the option (lower case), what is wrong, and the way out."""

    code: str
    option: str
    message: str
    hint: str

    def __str__(self) -> str:
        return f"{self.message} {self.hint}"


@dataclass(frozen=True, slots=True)
class Rule:
    """``fault(value)`` is None when the value will do, else what it must be."""

    code: str
    fault: Callable[[Any], str | None]
    hint: str = "Give such a value, or leave {name} out for its default."


def whole(low: int | None, high: int, *, unit: str = "", none: bool = False, text: str = "") -> Rule:
    """A whole number within bounds; ``none`` allows None and ``text`` one word beside the numbers.

    Upper bounds are those of the job record's fixed-width fields and of Redis expiry times.
    """
    least = f"{'at least ' + format(low, ',') + ' and ' if low is not None else ''}at most {high:,}"
    must = f"it must be {f'{text!r} or ' if text else ''}a whole number{unit}, {least}"

    def fault(value: object) -> str | None:
        if (none and value is None) or (text and value == text):
            return None
        if not isinstance(value, int) or isinstance(value, bool):
            return must
        return None if (low is None or value >= low) and value <= high else must

    return Rule("E007", fault)


def _importable(value: object) -> str | None:
    try:
        _ = value is None or resolve(value)
    except ImportError as problem:
        return str(problem)
    return None


def _backoff(value: object) -> str | None:
    number = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= TEN_YEARS_MS
    if number or callable(value) or value == "exponential":
        return None
    return "it must be whole milliseconds (0 = quadratic), 'exponential' or a callable (attempt, exc) -> ms"


def _priorities(value: object) -> str | None:
    if not isinstance(value, (list, tuple)):
        return "it must be a list of lane names, lowest first"
    if not value:
        return "it must name at least one lane"
    for lane in value:
        try:
            check_name("lane", lane)
        except ValueError as problem:
            return str(problem).rstrip(".")
    twice = sorted({lane for lane in value if value.count(lane) > 1})
    return (
        f"each lane may be named once, but {', '.join(map(repr, twice))} is named more often"
        if twice
        else None
    )


def _default_priority(value: object) -> str | None:
    return None if value is None or isinstance(value, str) else "it must be the name of a lane"


def _lane_numbers(value: object) -> str | None:
    if value is None or (
        isinstance(value, Mapping)
        and all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in value.values())
    ):
        return None
    return "it must be a dict of lane names to whole numbers of at least 1, or None"


def _url(value: object) -> str | None:
    schemes = ", ".join(f"{scheme}://" for scheme in SCHEMES if "valkey" not in scheme)
    must = f"it must be a URL that starts with one of {schemes}"
    if not isinstance(value, str):
        return must
    try:
        parts = urlsplit(value)
        _ = parts.port if parts.scheme in SINGLE else None
        if parts.scheme in GROUPS:
            return _group(value)
    except ValueError as problem:
        # The parser's message may quote the part that holds the password.
        return f"{must}; its host or port cannot be read ({type(problem).__name__})"
    return None if parts.scheme in SCHEMES and "://" in value else must


def _group(url: str) -> str | None:
    try:
        parse(url)
    except ValueError as problem:
        return f"{problem}"
    return None


def _redis_options(value: object) -> str | None:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        return "it must be a dict of keyword arguments for redis-py"
    if value.get("sentinels") and not value.get("service_name"):
        return "sentinels need a service_name beside them, the name of the primary"
    if value.get("sentinels") and value.get("cluster"):
        return "it must name sentinels or set cluster, not both"
    return None


def _signing_key(value: object) -> str | None:
    keys = value if isinstance(value, (list, tuple)) and value else [value]
    if value is None or all(isinstance(key, (str, bytes)) and key for key in keys):
        return None
    return "it must be a secret text or bytes, a list of them, of which the first signs, or None"


SWITCH = Rule("E009", lambda value: None if isinstance(value, bool) else "it must be True or False")
MS = " of milliseconds"
BYTES = " of bytes"

RULES: dict[str, Rule] = {
    "redis_url": Rule("E010", _url, "Correct {name}; it may come from the environment, ARDIQ_REDIS_URL."),
    "redis_options": Rule("E011", _redis_options),
    "priorities": Rule("E004", _priorities, "Write for example {name}: ['low', 'default', 'high']."),
    "default_priority": Rule("E005", _default_priority),
    "lane_weights": Rule("E006", _lane_numbers),
    "lane_limits": Rule("E006", _lane_numbers),
    "concurrency": whole(1, 100_000),
    "threads": whole(1, 100_000, none=True),
    "prefetch": whole(0, 100_000, text="auto"),
    "lease_ms": whole(1, TEN_YEARS_MS, unit=MS),
    "grace_ms": whole(0, TEN_YEARS_MS, unit=MS),
    "crash_limit": whole(1, 0xFF),
    "max_retries": whole(0, 0xFFE),
    "backoff_ms": Rule("E008", _backoff),
    "max_backoff_ms": whole(1, TEN_YEARS_MS, unit=MS),
    "jitter": SWITCH,
    "result_ttl_ms": whole(None, TEN_YEARS_MS, unit=MS),
    "failed_ttl_ms": whole(1, TEN_YEARS_MS, unit=MS),
    "failed_max": whole(1, 1_000_000_000),
    "max_queued": whole(1, 1_000_000_000, none=True),
    "max_payload_bytes": whole(1, 16_000_000, unit=BYTES),
    "max_result_bytes": whole(1, 500_000_000, unit=BYTES),
    "enqueue_on_commit": SWITCH,
    "durable": SWITCH,
    "once_ttl_ms": whole(86_400_000, TEN_YEARS_MS, unit=MS),
    "signing": SWITCH,
    "signing_key": Rule("E014", _signing_key),
    "serializer": Rule("E012", _importable),
    "deserializer": Rule("E012", _importable),
    "time_zone": Rule("E013", values.time_zone),
    "propagate": Rule("E015", propagate.fault),
    "admin": SWITCH,
    "admin_enqueue": Rule("E026", values.one_of("marked", "all")),
    "admin_refresh": whole(0, 3_600, unit=" of seconds"),
    "redactor": Rule("E027", _importable),
    "trace_url": Rule("E027", values.address_with("{trace}")),
}


class _Finder:
    """Collects the complaints about one queue; knows how its reader spells options."""

    def __init__(self, queue: object, upper: bool) -> None:
        self.queue = queue
        self.upper = upper
        self.found: list[Complaint] = []

    def name(self, option: str) -> str:
        return option.upper() if self.upper else option

    def add(self, code: str, option: str, value: object, fault: str, hint: str) -> None:
        text = shown(masked(value))
        if option == "redis_url":
            text = shown(safe_url(value)) if isinstance(value, str) else f"of type {type(value).__name__}"
        if option == "signing_key":
            text = MASK
        if self.upper:
            subject = f"ARDIQ[{shown(self.queue)}][{self.name(option)!r}] is {text}"
        else:
            subject = f"Ardiq({option}={text})"
        message = f"{subject}: {fault}."
        self.found.append(Complaint(code, option, message, hint.replace("{name}", self.name(option))))

    def unknown(self, key: object) -> None:
        known = [self.name(option) for option in RULES]
        where = f"ARDIQ[{shown(self.queue)}]" if self.upper else "Ardiq()"
        message = f"{where} has no option {shown(key)}."
        self.found.append(Complaint("E002", str(key), message, did_you_mean(key, known)))


def complaints(queue: object, given: Mapping[str, object], *, upper: bool = False) -> list[Complaint]:
    """Everything that is wrong with the options of one queue, in the order of the settings table.

    ``upper``: the keys are spelt as in settings (``PRIORITIES``), and so are names in messages.
    """
    finder = _Finder(queue, upper)
    try:
        check_name("queue", queue)
    except ValueError as problem:
        hint = "Queues are the keys of ARDIQ." if upper else "It is the first argument, queue_name."
        finder.found.append(Complaint("E003", "queue_name", str(problem), hint))
    values = {option: given[finder.name(option)] for option in RULES if finder.name(option) in given}
    faults = {}
    for option, value in values.items():
        fault = faults[option] = RULES[option].fault(value)
        if fault is not None:
            finder.add(RULES[option].code, option, value, fault, RULES[option].hint)
    _check_lanes(finder, values, faults)
    _check_pair(finder, values)
    expected = {finder.name(option) for option in RULES}
    for key in given:
        if key not in expected:
            finder.unknown(key)
    return finder.found


def _check_lanes(finder: _Finder, values: dict[str, Any], faults: dict[str, str | None]) -> None:
    if faults.get("priorities"):
        return
    lanes = list(values.get("priorities", ["default"]))
    known = f"the lanes of this queue are {', '.join(map(repr, lanes))}"
    default = values.get("default_priority")
    if default is not None and not faults["default_priority"] and default not in lanes:
        hint = f"Name one of them, or add it to {finder.name('priorities')}."
        finder.add("E005", "default_priority", default, f"it is no lane; {known}", hint)
    for option in ("lane_weights", "lane_limits"):
        strange = (
            [lane for lane in values.get(option) or {} if lane not in lanes] if not faults.get(option) else []
        )
        if strange:
            fault = f"{', '.join(map(shown, strange))} is no lane; {known}"
            finder.add("E006", option, values[option], fault, "Correct the name of the lane.")


def _check_pair(finder: _Finder, values: dict[str, Any]) -> None:
    for one, other in (("serializer", "deserializer"), ("deserializer", "serializer")):
        if values.get(one) is not None and values.get(other) is None:
            fault = f"it needs {finder.name(other)} beside it, or jobs could not be read back"
            finder.add("E012", one, values[one], fault, "Give both, or neither.")
