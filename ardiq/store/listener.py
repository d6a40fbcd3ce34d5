"""A connection that listens to one channel, and notices when nobody is at the other end any more."""

from __future__ import annotations

from collections.abc import Callable

from ardiq.store.endpoint import REPLY_TIMEOUT, Endpoint
from ardiq.store.link import Link, Refusal, let_go
from ardiq.store.refusals import Unavailable, refused
from ardiq.store.scripts import id_text, pack

# A listener says nothing by itself, so that a peer that went without a word would be missed for as long as
# TCP keepalive takes: hours by default. Asked after 5 s of silence and given 5 more, it is found out in 12.
SILENCE = 5.0  # seconds

_PING = pack("PING")


class Listener(Link):
    """``told`` gets the text of each message, and None once when the connection is gone."""

    def __init__(self, endpoint: Endpoint, told: Callable[[str | None], None]) -> None:
        super().__init__(endpoint, REPLY_TIMEOUT)
        self._told = told
        self.open = False  # subscribed, and not lost since

    async def listen(self, channel: str) -> Listener:
        """Connect and subscribe. Raises BrokerError when Redis cannot be reached, or refuses."""
        try:
            await self.connect()
            reply = await self.send(pack("SUBSCRIBE", channel))
        except ConnectionError as error:
            self._endpoint.forget()
            raise self._endpoint.unreachable(error) from error
        if isinstance(reply, Refusal):
            self.close()
            refusal = refused(str(reply), command="the command SUBSCRIBE")
            if isinstance(refusal, Unavailable):
                self._endpoint.forget()
            raise refusal
        self.open = not self.closed
        return self

    def data_received(self, data: bytes) -> None:
        self._heard = self._loop.time()
        self._reader.feed(data)
        gets = self._reader.gets
        while (reply := gets()) is not False:
            # A message may come before the reply to a ping that is under way.
            if isinstance(reply, list) and reply[0] == b"message":
                self._told(id_text(reply[2]))
            elif self._waiting and not (future := self._waiting.popleft()).done():
                future.set_result(reply)

    def _watch(self) -> None:
        super()._watch()
        if not self.closed and not self._waiting and self._loop.time() - self._heard > SILENCE:
            self.send(_PING).add_done_callback(let_go)

    def _lose(self, error: ConnectionError) -> None:
        if not self.closed:
            self.open = False
            super()._lose(error)
            self._told(None)
