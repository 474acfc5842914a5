"""The bench on which every chat adapter is tried."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from providers.chat.base import Host
from providers.registry import chat_provider
from tests.contracts.bench import HOSTS, Bench, Body


@pytest.fixture(params=HOSTS)
def bench(request: pytest.FixtureRequest) -> Callable[[Body], None]:
    """Run a body with a bench for each host; every service must be left idle, without an open request."""

    def run(body: Body) -> None:
        async def on_a_fresh_service() -> None:
            kind, options, model = HOSTS[request.param]
            async with kind(**options) as service:
                provider = chat_provider(service.wire, Host("lab", service.base_url, key=service.key))
                if not model:
                    model = (await provider.models())[0].name
                    await provider.close()
                table = Bench(request.param, service, model)
                await body(table)
                await table.provider.close()
                await asyncio.wait_for(service.until_idle(), 5)

        asyncio.run(on_a_fresh_service())

    return run
