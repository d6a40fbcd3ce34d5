"""Just enough of a browser to log into Django's admin and read a page."""

from __future__ import annotations

import http.cookiejar
import urllib.parse
import urllib.request


class Browser:
    def __init__(self, site: str) -> None:
        self._site = site
        self._cookies = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self._cookies))

    def get(self, path: str, form: dict[str, str] | None = None) -> str:
        """The text of a page. Raises HTTPError for anything but success."""
        data = urllib.parse.urlencode(form).encode() if form else None
        with self._opener.open(self._site + path, data, timeout=10) as answer:
            text: str = answer.read().decode()
        return text

    def post(self, path: str, form: dict[str, str]) -> str:
        """Send a form with its CSRF token; the text of the page that it leads to."""
        self.get(path)
        token = next(cookie.value for cookie in self._cookies if cookie.name == "csrftoken")
        return self.get(path, form | {"csrfmiddlewaretoken": token or ""})

    def log_in(self, username: str, password: str) -> None:
        page = self.post("/admin/login/", {"username": username, "password": password, "next": "/admin/"})
        assert "logout" in page, "the login was refused"
