"""Links between pages lead somewhere, and every page of docs/ is reached from its index."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.pages import ROOT, anchors, links, pages


def target(page: Path, link: str) -> tuple[Path, str]:
    path, _, anchor = link.partition("#")
    return ((page.parent / path).resolve() if path else page), anchor


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_resolve(page: Path) -> None:
    problems = []
    for link in links(page):
        if link.startswith(("https://", "mailto:")):
            continue
        path, anchor = target(page, link)
        if not path.exists():
            problems.append(f"{link}: there is no such file")
        elif anchor and anchor not in anchors(path):
            problems.append(
                f"{link}: no heading there is spelt so; there are {', '.join(sorted(anchors(path)))}"
            )
    assert not problems, "\n".join(problems)


def test_every_page_is_reached_from_the_index() -> None:
    seen: set[Path] = set()
    todo = [ROOT / "docs" / "index.md"]
    while todo:
        page = todo.pop()
        if page in seen or page.suffix != ".md" or not page.exists():
            continue
        seen.add(page)
        todo += [target(page, link)[0] for link in links(page) if not link.startswith("https://")]
    lost = [str(page.relative_to(ROOT)) for page in (ROOT / "docs").rglob("*.md") if page not in seen]
    assert not lost, f"no link leads from docs/index.md to {', '.join(lost)}"
