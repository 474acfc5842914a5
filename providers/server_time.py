"""What time a server says it is: a wrong clock here breaks certificates, budgets and the order of chats."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from providers.chat.base import Host
from providers.errors import ProviderError
from providers.http import client, opened


async def server_time(host: Host, *, limit_s: float = 3.0) -> datetime | None:
    """The `Date` of any answer, asked for without the key; None when the server gives none or does not answer.

    The request is left as soon as the head is there.
    """
    limit = min(limit_s, host.connect_timeout_s)
    nameless = Host(host.name, host.base_url, connect_timeout_s=limit, reach=host.reach)
    try:
        async with client(nameless) as http, opened(http, nameless, "GET", "", limit_s=limit_s) as response:
            written = response.headers.get("date")
    except ProviderError:
        return None
    try:
        moment = parsedate_to_datetime(written) if written else None
    except ValueError:
        return None
    return moment if moment is None or moment.tzinfo else moment.replace(tzinfo=UTC)
