"""A visitor with a cookie jar: looks at the site over HTTP, as a browser would."""

import time
from http.client import HTTPException
from http.cookiejar import CookieJar
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, OpenerDirector, Request, build_opener

ANSWER_SECONDS = 30.0
START_SECONDS = 30.0


class Visitor:
    """Fetches pages and presses buttons; notes every answer that is not what a visitor wants to see."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.complaints: list[str] = []
        self._jar = CookieJar()
        self._opener: OpenerDirector = build_opener(HTTPCookieProcessor(self._jar))

    def wait_for_site(self) -> bool:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            try:
                self._opener.open(self.address, timeout=ANSWER_SECONDS).close()
            except HTTPError:
                return True  # it answers; what it answers is judged by see()
            except (OSError, HTTPException):
                time.sleep(0.1)
            else:
                return True
        return False

    def see(self, path: str, *wanted: str) -> str:
        """The page; complains when it does not answer 200 or lacks one of the wanted texts."""
        return self._open(self._request(path), *wanted)

    def press(self, path: str, *wanted: str, **fields: str) -> str:
        """Post a form and follow to the page that it leads to."""
        return self._open(self._post(path, urlencode(fields).encode()), *wanted)

    def hand_in(self, path: str, name: str, content: bytes, *wanted: str) -> str:
        """Post a file, as a form with ``enctype="multipart/form-data"`` does."""
        line = "----ardiq-demo"
        head = f'--{line}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
        request = self._post(path, head.encode() + content + f"\r\n--{line}--\r\n".encode())
        request.add_header("Content-Type", f"multipart/form-data; boundary={line}")
        return self._open(request, *wanted)

    def log_in(self, name: str, password: str) -> None:
        self.see("/admin/login/")
        self.press("/admin/login/", "Log out", username=name, password=password, next="/admin/")

    def _post(self, path: str, body: bytes) -> Request:
        token = next((cookie.value for cookie in self._jar if cookie.name == "csrftoken"), "")
        return self._request(path, body, {"X-CSRFToken": token or ""})

    def _request(
        self, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Request:
        # The address is the site that the demo has started, so the scheme is http.
        return Request(self.address + path, body, headers or {})  # noqa: S310

    def _open(self, request: Request, *wanted: str) -> str:
        try:
            with self._opener.open(request, timeout=ANSWER_SECONDS) as answer:
                status, page = answer.status, answer.read().decode(errors="replace")
        except HTTPError as error:
            status, page = error.code, error.read().decode(errors="replace")
        except (OSError, HTTPException) as error:
            self.complaints.append(f"{request.full_url} did not answer: {error!r}")
            return ""
        if status != 200:
            title = " ".join(page.partition("<title>")[2].partition("</title>")[0].split())
            self.complaints.append(f"{request.full_url} answered {status}: {title}")
        else:
            self.complaints += [
                f"{request.full_url} does not show {text!r}." for text in wanted if text not in page
            ]
        return page
