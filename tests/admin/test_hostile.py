"""Stored text is text: whatever stands in an id, a name, an argument, a result or an error."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.test import Client

import ardiq
from ardiq.adminui.text import frames, plain, pretty
from tests.admin.conftest import LIST, Shop, Work, page

CORPUS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'--></style></script><svg onload=alert(1)>",
    "{{ 7*7 }}{% debug %}",
    "javascript:alert(1)",
    "</pre></textarea><iframe src=//evil>",
]
BIDI = "invoice\u202egnp.exe\u200b\x1b[31m\x00"


class Shouting(str):
    """Claims to be safe."""

    def __html__(self) -> str:
        return f"<blink>{self}</blink>"


def check(text: str, echoed: bool = False) -> None:
    """``echoed``: Django shows people what they asked for as they wrote it."""
    for markup in ("<script>alert", "<img src=x", "<svg onload", "<iframe src", "<blink>"):
        assert markup not in text
    # The value of a checkbox is the id itself, which nobody sees.
    seen = re.sub(r'(?<=name="_selected_action" value=")[^"]*', "", text)
    unseen = re.search("[\u202e\u200b\x1b\x00]", seen)
    assert echoed or not unseen, seen[max(0, unseen.start() - 200) : unseen.end() + 50]


@pytest.mark.parametrize("evil", [*CORPUS, BIDI])
def test_hostile_text(boss: Client, shop: Shop, work: Work, evil: str) -> None:
    """S7: in arguments and their names, results, messages and tracebacks, on every page."""
    given = {evil: [evil, {evil: evil}]}
    done = shop.give.enqueue_sync(given)
    failed = shop.fail.enqueue_sync(evil)
    plain_id = evil if evil.isprintable() and "{" not in evil else f"id-{len(evil)}"
    shop.add.options(task_id=plain_id).enqueue_sync(evil, b=evil)
    shop.app.ref("shop.unknown").enqueue_sync(**{evil: 1})
    work()
    listed = boss.get(LIST)
    texts = [listed.content.decode(), page(boss, done.id), page(boss, failed.id)]
    texts.append(boss.get(f"{LIST}{failed.id}/retry/").content.decode())
    for text in texts:
        check(text)
    for field in ("q", "task", "state", "queue"):
        check(boss.get(LIST, {field: evil}).content.decode(), echoed=True)


def test_text_is_plain() -> None:
    """Whatever class a str claims to be, and whatever it hides."""
    assert type(plain(Shouting("x"))) is str
    assert plain("a\u202eb\x00c\r\nd\te") == "a\\u202eb\\x00c\nd\te"
    assert plain("x" * 100, 10) == "x" * 10 + "…"
    assert pretty({"a": (1, {2})}) == '{\n  "a": [\n    1,\n    [\n      2\n    ]\n  ]\n}'
    assert pretty({(1, 2): 3}) == "{(1, 2): 3}"


def test_a_traceback_in_pieces_is_whole() -> None:
    text = (
        "Traceback (most recent call last):\n"
        '  File "/srv/shop/tasks.py", line 3, in charge\n    pay()\n    ^^^^^\n'
        '  File "/usr/lib/python3.13/json/decoder.py", line 1, in x\n    y\n'
        '  File "<frozen importlib>", line 2, in z\n'
        "ValueError: no\n  more\n"
    )
    found = frames(text)
    assert "".join(frame.text for frame in found) == text
    assert [frame.text.splitlines()[0][2:19] for frame in found if frame.own] == ['File "/srv/shop/t']


def test_templates_keep_a_strict_policy() -> None:
    """No inline script or style, no handler, nothing marked as safe: a strict CSP has nothing to refuse."""
    root = Path(ardiq.__file__).parent
    for path in (root / "templates").rglob("*.html"):
        text = path.read_text("utf-8")
        for bad in (
            r"<style",
            r"\sstyle=",
            r"\son\w+=",
            r"<script",
            r"\|\s*safe",
            r"autoescape",
            r"breadcrumbs",
        ):
            assert not re.search(bad, text), f"{path.name}: {bad}"
    for path in [*(root / "adminui").rglob("*.py"), *(root / "models").rglob("*.py"), root / "admin.py"]:
        assert "mark_safe" not in path.read_text("utf-8"), path
