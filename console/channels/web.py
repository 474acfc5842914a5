"""Alerts as HTTP requests: a plain JSON document, or in the words of ntfy, Slack and Discord."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from console.channels.base import Message, body_of, title_of
from console.errors import ChannelFailed
from providers.errors import ProviderError, RateLimited

if TYPE_CHECKING:
    from console.clock import Clock

Manner: TypeAlias = Literal["webhook", "ntfy", "slack", "discord"]
LIMIT_S = 10.0
PAUSES_S = (1.0, 5.0, 20.0)
"""Between the tries."""
LONGEST_PAUSE_S = 60.0
_LARGEST_ANSWER = 4096
_PRIORITY = {"info": 3, "warning": 4, "alarm": 5}


class Web:
    """One address. It may be a secret itself, so no error names more of it than the host."""

    def __init__(self, name: str, manner: Manner, url: str, token: str | None, clock: Clock) -> None:
        self.name = name
        self._manner = manner
        self._url = url
        self._token = token
        self._clock = clock

    def __repr__(self) -> str:
        return f"Web({self.name!r}, {self._manner!r})"

    async def send(self, messages: Sequence[Message]) -> None:
        url, document = _as_request(self._manner, self._url, messages)
        content = json.dumps(document, ensure_ascii=False).encode()
        for pause_s in (*PAUSES_S, None):
            try:
                await self._post(url, content)
                return
            except ProviderError as error:
                if not error.may_retry or pause_s is None:
                    raise ChannelFailed(error.text, hint=error.hint) from error
                asked = error.retry_after_s if isinstance(error, RateLimited) else None
            await self._clock.sleep(pause_s if asked is None else min(max(asked, pause_s), LONGEST_PAUSE_S))

    async def close(self) -> None:
        pass

    async def _post(self, url: str, content: bytes) -> None:
        from providers.chat.base import Host
        from providers.errors import TimedOut
        from providers.http import client, opened, place, read_body
        from providers.refusals import refusal

        host = Host(self.name, url, self._token)
        try:
            async with (
                asyncio.timeout(LIMIT_S),
                client(host) as http,
                opened(http, host, "POST", url, content=content, limit_s=LIMIT_S) as response,
            ):
                if not response.is_success:
                    raise await refusal(response, host)
                await read_body(response, host, _LARGEST_ANSWER, limit_s=LIMIT_S)
        except TimeoutError as error:
            text = f"{place(host)} did not answer within {LIMIT_S:g} s."
            raise TimedOut(text, phase="total", limit_s=LIMIT_S) from error


def _as_request(manner: Manner, url: str, messages: Sequence[Message]) -> tuple[str, dict[str, Any]]:
    """Where it goes and what it says."""
    title, body = title_of(messages), body_of(messages)
    match manner:
        case "webhook":
            return url, {
                "schema": 1,
                "title": title,
                "text": body,
                "alerts": [
                    {
                        "subject": message.subject,
                        "level": message.level,
                        "text": message.text,
                        "at": message.at.isoformat(),
                        "cleared": message.cleared,
                    }
                    for message in messages
                ],
            }
        case "ntfy":  # its JSON goes to the server itself and names the topic
            server, _, topic = url.rpartition("/")
            priority = max(3 if message.cleared else _PRIORITY[message.level] for message in messages)
            return f"{server}/", {"topic": topic, "title": title, "message": body, "priority": priority}
        case "slack":
            escaped = body.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
            return url, {"text": f"*{title}*\n{escaped}"}
        case "discord":  # nothing in the text calls anybody
            return url, {"content": f"**{title}**\n{body}"[:2000], "allowed_mentions": {"parse": []}}
