"""Counting words: no Django, no queue."""

import re
from collections import Counter
from typing import NamedTuple

WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
SENTENCE_END = re.compile(r"[.!?]+(?=[\s\"”’)]|$)")
WORDS_PER_MINUTE = 230
COMMON = frozenset(
    WORD.findall("""
        a about after again all already also although always an and any are as at away back be been
        before but by can could did do does down ever for from go goes had has have he her here him
        his how i if in into is it its like made make me more most must my never no not now of off
        on one only or our out over own said same she so some still such take than that the their
        them then there these they this those to too two up us very was we well were what when where
        which while who whom why will with would you your
    """)
)


class Statistics(NamedTuple):
    words: int
    sentences: int
    reading_seconds: int
    top_words: list[tuple[str, int]]


def telling_words(text: str) -> Counter[str]:
    """How often each word occurs that says something about this text in particular."""
    return Counter(word for word in (match.lower() for match in WORD.findall(text)) if word not in COMMON)


def statistics(text: str, top: int = 8) -> Statistics:
    words = len(WORD.findall(text))
    return Statistics(
        words=words,
        sentences=len(SENTENCE_END.findall(text)),
        reading_seconds=round(words * 60 / WORDS_PER_MINUTE),
        top_words=telling_words(text).most_common(top),
    )
