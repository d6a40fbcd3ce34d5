"""The list of jobs, apart from its columns: how deep it goes and what is told above it."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil
from typing import Any, cast

from django.core.paginator import Paginator
from django.http import HttpRequest
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ardiq.adminui.base import EagerChangeList
from ardiq.adminui.filters import number
from ardiq.adminui.marks import told_pause
from ardiq.adminui.queryset import RedisQuerySet
from ardiq.adminui.sources import SMALL, JobSource, Searched

DEEPEST = 200  # pages of a list that is merged from several places


def told_search(searched: Searched) -> str:
    """What a search has looked at."""
    words = {
        "first": number(searched.before + 1),
        "last": number(searched.before + searched.looked),
        "looked": number(searched.looked),
        "there": number(searched.there),
    }
    if searched.before:
        return _("Searched jobs %(first)s to %(last)s of %(there)s, counted from the newest.") % words
    return _("Searched the newest %(looked)s of %(there)s jobs.") % words


class ShallowPaginator(Paginator):
    """Ends merged lists after DEEPEST pages: what lies deeper is found by choosing a state."""

    @property
    def merged(self) -> bool:
        if not isinstance(self.object_list, RedisQuerySet):
            return False  # log entries, on the page of a job's history
        plan, source = self.object_list.plan, cast("JobSource", self.object_list.source)
        return len(source.statuses(plan)) > 1 or len(source.queues(plan)) > 1

    @cached_property
    def all_pages(self) -> int:
        return max(1, ceil(self.count / self.per_page))

    @cached_property
    def num_pages(self) -> int:
        return min(self.all_pages, DEEPEST) if self.merged else self.all_pages

    @property
    def hidden(self) -> bool:
        return self.all_pages > self.num_pages


class JobChangeList(EagerChangeList):
    """Knows what to tell above the list: what was not searched, what is not shown, what is missing."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        user: Any = request.user
        self.may_read = user.has_perm("ardiq.view_job_payload")

    @property
    def hint(self) -> str:
        """What can be searched for; arguments by those who may see them. It is no search_help_text: axe takes
        that for the only label of Django's box, whose own one is a picture."""
        if not self.may_read:
            return _("Search for a whole ID or its beginning, or a part of the name of a task.")
        return _(
            "Search for a whole ID or its beginning, a part of the name of a task, or an argument: "
            "kwargs.user=42 by its name, args.0=x by its position."
        )

    def get_query_string(self, new_params: Any = None, remove: Any = None) -> str:
        """Another filter begins at the newest jobs again; another page does not."""
        given = new_params or {}
        if "from" not in given and not set(given) <= {"p", "o", "all"}:
            remove = [*(remove or []), "from"]
        query: str = super().get_query_string(new_params, remove)
        return query

    def notes(self) -> Iterator[str | SafeString]:
        source = self.queryset.source
        for alias in source.queues(self.queryset.plan):
            source.counts(alias)
            yield from (told_pause(one, alias) for one in source.pauses[alias])
        searched = source.searched
        if searched:
            yield self._told(searched)
        if source.unread:
            text = ngettext(
                "%(count)s job was not looked into, because its call takes more than %(most)s bytes.",
                "%(count)s jobs were not looked into, because their calls take more than %(most)s bytes.",
                source.unread,
            )
            yield text % {"count": number(source.unread), "most": number(SMALL)}
        if self.paginator.hidden and self.page_num >= DEEPEST:
            yield _("This list ends after %(pages)s pages. Choose a state to see older jobs.") % {
                "pages": number(DEEPEST)
            }

    def _told(self, searched: Searched) -> SafeString:
        """What a search has looked at, and the way to what it has not."""
        text = told_search(searched)
        if not searched.more:
            return format_html("{}", text)
        further = self.get_query_string({"from": searched.more}, ["p"])
        return format_html('{} <a href="{}">{}</a>', text, further, _("Continue with older ones"))

    def waiting_without_worker(self) -> list[str]:
        """Queues in which jobs wait, or in which there are no jobs at all, while no worker lives."""
        source = self.queryset.source
        counts = {alias: source.counts(alias) for alias in source.queues(self.queryset.plan)}
        return [
            alias
            for alias, one in counts.items()
            if not one.workers and (self.empty or sum(one.lanes.values()))
        ]

    @property
    def empty(self) -> bool:
        """Whether there is no job at all, rather than none that fits the filters."""
        source = self.queryset.source
        return not any(source.counts(alias).total for alias in source.aliases)
