"""Reads what translators write (.po) and what Django reads (.mo), without the tools of gettext."""

from __future__ import annotations

import ast
import gettext
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import ardiq

PACKAGE = Path(ardiq.__file__).parent
LANGUAGES = ("de", "fr", "es", "ja", "ar")

_LINE = re.compile(r'^(?:(msgctxt|msgid|msgid_plural|msgstr|msgstr\[(\d)\]) )?(".*")$')
_HOLE = re.compile(r"%\((\w+)\)([a-z])|%([a-z%])|</?(\w+)>")
_CALLS = {
    "_": (0,), "gettext": (0,), "gettext_lazy": (0,), "ngettext": (0, 1), "pgettext": (1,),
    "pgettext_lazy": (1,),
}  # fmt: skip
"""Names that mark a text -> where among the arguments texts are."""

Key = tuple[str, str]
"""Context ('' without one), text."""


@dataclass
class Entry:
    """A text of a catalog with what it is in a language: one form, or one for each plural form."""

    context: str = ""
    id: str = ""
    plural: str = ""
    forms: dict[int, str] = field(default_factory=dict)
    fuzzy: bool = False

    @property
    def key(self) -> Key:
        return self.context, self.id


def source(language: str) -> Path:
    return PACKAGE / "locale" / language / "LC_MESSAGES" / "django.po"


def entries(path: Path) -> list[Entry]:
    """Of a .po file, its header first; what is out of use is left out."""
    found = [_entry(block) for block in path.read_text("utf-8").split("\n\n")]
    return [entry for entry in found if entry.forms]


def _entry(block: str) -> Entry:
    entry, name, form = Entry(), "", 0
    for line in block.splitlines():
        entry.fuzzy |= line.startswith("#,") and "fuzzy" in line
        match = _LINE.match(line)
        if match is None:
            continue
        if match[1]:
            name, form = match[1].partition("[")[0], int(match[2] or 0)
        text = ast.literal_eval(match[3])
        if name == "msgstr":
            entry.forms[form] = entry.forms.get(form, "") + text
        else:
            attribute = {"msgctxt": "context", "msgid": "id", "msgid_plural": "plural"}[name]
            setattr(entry, attribute, getattr(entry, attribute) + text)
    return entry


def compiled(language: str) -> dict[str | tuple[str, int], str]:
    """What the .mo file holds, as Python's own gettext reads it."""
    with source(language).with_suffix(".mo").open("rb") as stream:
        return dict(gettext.GNUTranslations(stream)._catalog)  # type: ignore[attr-defined]


def to_compile(language: str) -> dict[str | tuple[str, int], str]:
    """What the .mo file should hold."""
    out: dict[str | tuple[str, int], str] = {}
    for entry in entries(source(language)):
        id = f"{entry.context}\x04{entry.id}" if entry.context else entry.id
        if entry.plural:
            out.update({(id, form): text for form, text in entry.forms.items()})
        else:
            out[id] = entry.forms[0]
    return out


def holes(text: str) -> list[str]:
    """Placeholders and tags."""
    return sorted(found[0] for found in _HOLE.finditer(text))


def marked() -> Iterator[str]:
    """Texts of the Python code that are marked for translation; templates need gettext to be read."""
    codes = (path.read_text("utf-8") for path in PACKAGE.rglob("*.py"))
    for code in codes:
        for node in ast.walk(ast.parse(code)) if "utils.translation" in code else ():
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                for place in _CALLS.get(node.func.id, ()):
                    text = node.args[place] if len(node.args) > place else None
                    if isinstance(text, ast.Constant) and isinstance(text.value, str):
                        yield text.value
