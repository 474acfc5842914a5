"""The OpenAI wire against servers that say what real ones have said."""

from __future__ import annotations

import asyncio

from providers.chat.base import Finish
from providers.chat.openai import OpenAI
from tests.providers.raw import ask, chunked, collect, raw_server


def test_answer_comes_in_pieces_and_ends_with_usage() -> None:
    async def body() -> None:
        said = chunked(
            ': keep-alive\r\n\r\ndata: {"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\r\n\r\n',
            'data: {"choices":[{"index":0,"delta":{"content":"Hel"}}]}\n\ndata: {"choices":[{"delta":{"content":"lo"}}]}\n\n',
            'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n',
            'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"cost":0.000123}}\n\ndata: [DONE]\n\n',
        )
        async with raw_server(said) as server:
            got = await collect(OpenAI(server.host(key="sk-1")), ask())

        assert got.error is None
        assert got.text == "Hello"
        assert got.end is not None
        assert got.end.finish is Finish.STOP
        assert got.end.usage.input_tokens == 3
        assert str(got.end.cost_usd) == "0.000123"
        assert server.asked[0].headers["authorization"] == "Bearer sk-1"
        assert server.asked[0].target == "/v1/chat/completions"

    asyncio.run(body())
