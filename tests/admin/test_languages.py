"""The languages of the admin: nothing untranslated, nothing broken, pages that speak them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import translation
from pytest_django.fixtures import Settings

from ardiq.adminui import snapshot, times
from ardiq.adminui.figures import number
from ardiq.adminui.filters import number as counted
from ardiq.store import verbs
from tests.admin.catalogs import (
    LANGUAGES,
    PACKAGE,
    compiled,
    entries,
    holes,
    marked,
    source,
    to_compile,
)
from tests.admin.conftest import LIST, Shop, Work

WAY_OUT = (
    "In ardiq/, run: django-admin makemessages --all --no-obsolete --add-location file; translate what is "
    "empty or fuzzy in locale/*/LC_MESSAGES/django.po; then: django-admin compilemessages"
)
PLURALS = {"de": 2, "fr": 3, "es": 3, "ja": 1, "ar": 6}  # forms of a noun after a number, as Django has them

# A few words of each page.
WORDS = {
    "de": {
        "dashboard": ["Task-Warteschlange", "1 Erfolgreich", "Durchsatz", "Langsamste Tasks"],
        "jobs": ["Ausgewählte Jobs wiederholen", "Nach Status", "Dauer"],
        "job": ["Zeitverlauf", "Ergebnis", "Argumente", "Spur default"],
        "queue": ["Spuren", "Längste Wartezeit", "Anhalten"],
        "worker": ["Lebt", "Ruhig stellen", "Speicher"],
        "schedule": ["Nächste Läufe", "in der Zeitzone Europe/Paris", "Um 02:30, Montag bis Freitag"],
    },
    "fr": {
        "dashboard": ["File de tâches", "1 Réussi", "Débit", "Tâches les plus lentes"],
        "jobs": ["Réessayer les jobs sélectionnés", "Par état", "Durée"],
        "job": ["Chronologie", "Résultat", "Arguments", "voie default"],
        "queue": ["Voies", "Attente la plus longue", "Mettre en pause"],
        "worker": ["Vivant", "Mettre en veille", "Mémoire"],
        "schedule": [
            "Prochaines exécutions",
            "dans le fuseau horaire Europe/Paris",
            "À 02:30, de lundi à vendredi",
        ],
    },
    "es": {
        "dashboard": ["Cola de tareas", "1 Correcto", "Rendimiento", "Tareas más lentas"],
        "jobs": ["Reintentar los trabajos seleccionados", "Por estado", "Duración"],
        "job": ["Cronología", "Resultado", "Argumentos", "carril default"],
        "queue": ["Carriles", "Espera más larga", "Pausar"],
        "worker": ["Vivo", "Detener", "Memoria"],
        "schedule": [
            "Próximas ejecuciones",
            "en la zona horaria Europe/Paris",
            "A las 02:30, de lunes a viernes",
        ],
    },
    "ja": {
        "dashboard": ["タスクキュー", "1 成功", "スループット", "遅いタスク"],
        "jobs": ["選択したジョブを再試行", "状態 で絞り込む", "実行時間"],
        "job": ["タイムライン", "結果", "引数", "レーン default"],
        "queue": ["レーン", "最長の待ち時間", "一時停止"],
        "worker": ["稼働中", "受付停止", "メモリ"],
        "schedule": ["今後の実行", "タイムゾーン Europe/Paris", "月曜日 から 金曜日 まで"],
    },
    "ar": {
        "dashboard": ["طابور المهام", "1 ناجحة", "معدل الإنجاز", "أبطأ المهام"],
        "jobs": ["إعادة محاولة الوظائف المحددة", "حسب الحالة", "المدة"],
        "job": ["التسلسل الزمني", "النتيجة", "الوسائط", "المسار default"],
        "queue": ["المسارات", "أطول انتظار", "إيقاف مؤقت"],
        "worker": ["حي", "تهدئة", "الذاكرة"],
        "schedule": ["مرات التنفيذ القادمة", "حسب المنطقة الزمنية Europe/Paris", "تعطيل", "30 2 * * MON-FRI"],
    },
}
# 2026-03-09 08:07:06.5 in UTC; 1,234 ms; 3 min 5 s; 5 minutes ago.
FORMATS = {
    "de": ["9. März 2026, 08:07:06,500", "1,2\u00a0s", "3 min 5 s", "vor 5\u00a0min"],
    "fr": ["9 mars 2026, 08:07:06,500", "1,2\u00a0s", "3 min 5 s", "il y a 5\u00a0min"],
    "es": ["9 de marzo de 2026, 08:07:06,500", "1,2\u00a0s", "3 min 5 s", "hace 5\u00a0min"],
    "ja": ["2026年3月9日, 08:07:06.500", "1.2秒", "3分5秒", "5分前"],
    "ar": ["9 مارس، 2026, 08:07:06,500", "1,2\u00a0ث", "3 د 5 ث", "منذ 5\u00a0د"],
}


@pytest.fixture(params=LANGUAGES)
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# -- catalogs -----------------------------------------------------------------------------------------


def test_all_is_translated(language: str) -> None:
    """No empty form, none that somebody still has to look at, and all forms of the language's plural."""
    found = entries(source(language))
    assert len(found) > 400
    for entry in found:
        assert not entry.fuzzy, (entry.id, WAY_OUT)
        assert all(entry.forms.values()), (entry.id, WAY_OUT)
        assert len(entry.forms) == (PLURALS[language] if entry.plural else 1), entry.id


def test_placeholders(language: str) -> None:
    """Each form has those of the text, and begins and ends with a blank where the text does."""
    for entry in entries(source(language))[1:]:
        original = entry.plural or entry.id
        assert holes(entry.forms[len(entry.forms) - 1]) == holes(original), (entry.id, entry.forms)
        for text in entry.forms.values():
            # "once" needs no number.
            assert holes(text) in (holes(entry.id), holes(original)), (entry.id, text)
            assert language == "ja" or text[:1].isspace() == original[:1].isspace(), (entry.id, text)
            assert language == "ja" or text[-1:].isspace() == original[-1:].isspace(), (entry.id, text)
            assert not re.search("[\u200e\u200f\u202a-\u202e\u2066-\u2069]", text), "pages give the direction"


def test_compiled(language: str) -> None:
    """The .mo file, which is all that Django reads, says what the .po file says."""
    was, should = compiled(language), to_compile(language)
    was.pop(""), should.pop("")
    assert was == should, WAY_OUT


def test_what_the_code_marks_is_in_the_catalogs() -> None:
    """All languages have the same texts, and those of the Python code are among them."""
    keys = {language: {entry.key for entry in entries(source(language))} for language in LANGUAGES}
    for language, found in keys.items():
        assert found == keys["de"], (language, found ^ keys["de"], WAY_OUT)
    texts = {entry.id for entry in entries(source("de"))} | {entry.plural for entry in entries(source("de"))}
    missing = set(marked()) - texts
    assert not missing, (missing, WAY_OUT)


@pytest.mark.skipif(
    not shutil.which("xgettext"), reason="no gettext: only texts of Python code are looked for"
)
def test_what_makemessages_finds_is_in_the_catalogs(tmp_path: Path) -> None:
    """By Django's own tool, templates included: nothing is missing, and nothing is left from old code."""
    kept = shutil.ignore_patterns("*.mo", "*.lua", "__pycache__", *(one for one in LANGUAGES if one != "de"))
    shutil.copytree(PACKAGE, tmp_path / "ardiq", ignore=kept)
    command = [sys.executable, "-m", "django", "makemessages", "-l", "de", "--no-obsolete"]
    environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    done = subprocess.run(
        command, cwd=tmp_path / "ardiq", env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = entries(tmp_path / "ardiq" / "locale" / "de" / "LC_MESSAGES" / "django.po")
    have = {(entry.key, entry.plural) for entry in entries(source("de"))}
    assert {(entry.key, entry.plural) for entry in found} == have, WAY_OUT


# -- pages --------------------------------------------------------------------------------------------


@pytest.fixture
def pages(
    shop: Shop, work: Work, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, str]]:
    """A site that speaks the language of whoever looks, with something on each page."""
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.middleware.locale.LocaleMiddleware"]
    monkeypatch.setattr(snapshot, "KEPT", -1.0)
    app = shop.app

    @app.cron("30 2 * * MON-FRI", tz="Europe/Paris", name="shop.nightly")
    async def nightly() -> None: ...

    job = shop.add.enqueue_sync(1)
    work()
    own, worker = app.broker, "ab" * 16
    own.store.run(verbs.register(own.keys, worker, 30_000, {"name": "w1", "concurrency": "4"}))
    addresses = {
        "dashboard": "/admin/ardiq/dashboard/",
        "jobs": LIST,
        "job": f"{LIST}{job.id}/change/",
        "queue": f"/admin/ardiq/queue/{app.queue_name}/change/",
        "worker": f"/admin/ardiq/worker/{worker}/change/",
        "schedule": f"/admin/ardiq/schedule/{app.queue_name}:shop.nightly/change/",
    }
    # The middleware leaves its language behind for the thread.
    with translation.override(None):
        yield addresses


def read(client: Client, address: str, language: str) -> tuple[str, str]:
    """The markup of a page, and what a reader sees of it."""
    response = client.get(address, headers={"accept-language": language})
    assert response.status_code == 200 and response.headers["Content-Language"] == language
    markup = response.content.decode()
    return markup, re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", markup))


def test_pages(boss: Client, pages: dict[str, str], language: str) -> None:
    """The words are those of the language, and the direction, too; commands and names stay as they are."""
    for name, address in pages.items():
        markup, seen = read(boss, address, language)
        for word in WORDS[language][name]:
            assert word in seen, (name, word)
        assert f'dir="{"rtl" if language == "ar" else "ltr"}"' in markup
        english, _seen = read(boss, address, "en")
        assert 'lang="en"' in english and 'dir="ltr"' in english
    assert WORDS[language]["dashboard"][0] in read(boss, "/admin/", language)[1], "the name of the app"


def test_numbers_and_times(language: str) -> None:
    """Separators, dates and units are those of the language."""
    at = 1_773_043_626_500
    with translation.override(language):
        ago = times.relative(round(time.time() * 1000) - 300_000)
        told = [times.absolute(at), times.duration(1_234), times.duration(185_000), ago]
        large = {number(12_345), counted(12_345)}
    assert told == FORMATS[language]
    assert language not in ("de", "ja") or large == {"12.345" if language == "de" else "12,345"}


def test_commands_speak_english(shop: Shop, settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    """What other programs read is the same everywhere."""
    settings.LANGUAGE_CODE = "de"
    shop.add.enqueue_sync(1)
    with translation.override("de"):
        call_command("ardiq_status", "--queue", shop.app.queue_name)
    out = capsys.readouterr().out
    assert "1 job waits" in out and "wartet" not in out
