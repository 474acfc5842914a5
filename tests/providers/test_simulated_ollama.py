"""The simulated Ollama under the official `ollama` package, and on the wire where that package hides it."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import ollama
import pytest

from providers.simulated.services import Fault, FaultKind, SimulatedOllama, Speed
from tests.conftest import run
from tests.providers.simulated_clients import FrozenClock, http_client, ollama_client, openai_client

PIXEL = b"\x89PNG\r\n\x1a\n" + bytes(32)
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def user(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


def test_models_are_listed_with_their_details() -> None:
    async def body() -> None:
        async with SimulatedOllama() as service, ollama_client(service) as client:
            listed = {model.model: model for model in (await client.list()).models}

            assert set(listed) == set(service.installed)
            llama = listed["llama3.1:8b"]
            assert llama.size == 4_920_753_328
            assert llama.details is not None
            assert llama.details.parameter_size == "8.0B"
            assert llama.details.quantization_level == "Q4_K_M"

    run(body())


def test_show_tells_context_and_capabilities() -> None:
    async def body() -> None:
        async with SimulatedOllama() as service, ollama_client(service) as client:
            shown = await client.show("qwen3:8b")

            assert shown.capabilities == ["completion", "tools", "thinking"]
            assert shown.modelinfo is not None
            assert shown.modelinfo["qwen3.context_length"] == 40_960
            assert shown.modelinfo["general.architecture"] == "qwen3"

    run(body())


def test_answer_in_one_piece_has_all_figures() -> None:
    async def body() -> None:
        async with SimulatedOllama() as service, ollama_client(service) as client:
            answer = await client.chat("llama3.1:8b", user("say 3 tokens"))

            assert answer.message.content == "word1 word2 word3 "
            assert (answer.done, answer.done_reason, answer.eval_count) == (True, "stop", 3)
            assert answer.prompt_eval_count == 7
            assert answer.total_duration is not None
            assert answer.load_duration is not None
            assert answer.total_duration >= answer.load_duration > 0
            assert answer.prompt_eval_duration
            assert answer.eval_duration

    run(body())


def test_stream_sends_a_line_per_token_and_closes_with_the_figures() -> None:
    async def body() -> None:
        async with SimulatedOllama() as service, http_client(service) as client:
            request = {"model": "llama3.1:8b", "messages": user("say 2 tokens")}
            answer = await client.post("/api/chat", json=request)

            lines = [json.loads(line) for line in answer.text.splitlines()]
            assert answer.headers["content-type"] == "application/x-ndjson"
            assert [list(line) for line in lines[:2]] == [["model", "created_at", "message", "done"]] * 2
            assert [line["message"]["content"] for line in lines] == ["word1 ", "word2 ", ""]
            assert [line["done"] for line in lines] == [False, False, True]
            assert list(lines[2])[3:6] == ["done", "done_reason", "total_duration"]

    run(body())


def test_thinking_comes_before_the_answer_and_can_be_switched_off() -> None:
    async def body() -> None:
        async with SimulatedOllama() as service, ollama_client(service) as client:
            parts = [part async for part in await client.chat("qwen3:8b", user("say 2 tokens"), stream=True)]
            silent = await client.chat("qwen3:8b", user("say 2 tokens"), think=False)

            thinking = [bool(part.message.thinking) for part in parts]
            assert thinking.index(False) > 0
            assert not any(thinking[thinking.index(False) :])
            assert parts[-1].eval_count == len(parts) - 1
            assert silent.message.thinking is None
            assert silent.eval_count == 2

    run(body())


def test_thinking_is_refused_by_a_model_that_cannot() -> None:
    async def body() -> None:
        async with SimulatedOllama() as service, ollama_client(service) as client:
            with pytest.raises(ollama.ResponseError, match="does not support thinking") as refused:
                await client.chat("llama3.1:8b", user("hi"), think=True)

            assert refused.value.status_code == 400

    run(body())


def test_tools_are_called_with_arguments_from_the_question_and_answered_after() -> None:
    async def body() -> None:
        async with SimulatedOllama() as service, ollama_client(service) as client:
            asked = user("What is the weather in Paris?")
            answer = await client.chat("llama3.1:8b", asked, tools=[WEATHER])
            assert answer.message.tool_calls is not None
            call = answer.message.tool_calls[0].function

            told = [*asked, {"role": "assistant", "content": ""}, {"role": "tool", "content": "22 degrees"}]
            final = await client.chat("llama3.1:8b", told, tools=[WEATHER])

            assert (call.name, call.arguments) == ("get_weather", {"city": "Paris"})
            assert "22 degrees" in str(final.message.content)
            assert answer.done_reason == "stop"

    run(body())


def test_tools_are_refused_by_a_model_that_cannot() -> None:
    async def body() -> None:
        async with SimulatedOllama() as service, ollama_client(service) as client:
            with pytest.raises(ollama.ResponseError, match="does not support tools"):
                await client.chat("phi3", user("weather?"), tools=[WEATHER])

    run(body())


def test_images_are_seen_and_counted() -> None:
    async def body() -> None:
        async with SimulatedOllama() as service, ollama_client(service) as client:
            message = {"role": "user", "content": "Describe this harbour", "images": [PIXEL]}
            answer = await client.chat("llava", [message])

            assert "I can see an image" in str(answer.message.content)
            assert answer.prompt_eval_count is not None
            assert answer.prompt_eval_count > 768

    run(body())


def test_answer_follows_the_format_that_was_asked() -> None:
    async def body() -> None:
        schema = {"type": "object", "properties": {"age": {"type": "integer", "minimum": 18}}, "required": ["age"]}
        async with SimulatedOllama() as service, ollama_client(service) as client:
            shaped = await client.chat("llama3.1:8b", user("How old?"), format=schema)
            loose = await client.chat("llama3.1:8b", user("How old?"), format="json")

            assert json.loads(str(shaped.message.content)) == {"age": 18}
            assert json.loads(str(loose.message.content)) == {"answer": "How old?"}

    run(body())


def test_limits_and_stop_words_cut_the_answer() -> None:
    async def body() -> None:
        async with SimulatedOllama() as service, ollama_client(service) as client:
            short = await client.chat("llama3.1:8b", user("say 50 tokens"), options={"num_predict": 5})
            stopped = await client.chat("llama3.1:8b", user("say 50 tokens"), options={"stop": ["word3"]})

            assert (short.done_reason, short.eval_count) == ("length", 5)
            assert (stopped.done_reason, stopped.message.content) == ("stop", "word1 word2 ")

    run(body())


def test_generate_answers_a_prompt() -> None:
    async def body() -> None:
        async with SimulatedOllama() as service, ollama_client(service) as client:
            parts = [part async for part in await client.generate("mistral:7b", "say 2 tokens", stream=True)]

            assert [part.response for part in parts] == ["word1 ", "word2 ", ""]
            assert parts[-1].done_reason == "stop"

    run(body())


def test_prompt_beyond_the_window_is_cut_without_a_word() -> None:
    async def body() -> None:
        turns = [{"role": "user", "content": f"turn {n} " + "pad " * 100} for n in range(20)]
        async with SimulatedOllama() as service, ollama_client(service) as client:
            service.answers.script("turn 19", lambda question: f"I see {len(question.turns)} turns.")
            answer = await client.chat("llama3.1:8b", turns, options={"num_ctx": 512})
            whole = await client.chat("llama3.1:8b", turns, options={"num_ctx": 8_192})

            assert answer.prompt_eval_count is not None
            assert answer.prompt_eval_count <= 512
            assert answer.message.content == "I see 4 turns."
            assert whole.message.content == "I see 20 turns."

    run(body())


def test_one_turn_beyond_the_window_is_counted_as_the_window() -> None:
    async def body() -> None:
        async with SimulatedOllama() as service, ollama_client(service) as client:
            answer = await client.chat("llama3.1:8b", user("pad " * 9_000))

            assert answer.prompt_eval_count == 4_096

    run(body())


def test_model_is_loaded_on_first_use_listed_and_put_out_in_time() -> None:
    async def body() -> None:
        clock = FrozenClock()
        async with SimulatedOllama(clock=clock, speed=Speed(load_s=7.0)) as service, ollama_client(service) as client:
            first = await client.chat("llama3.1:8b", user("hi"))
            second = await client.chat("llama3.1:8b", user("hi"), keep_alive="1h30m")
            running = (await client.ps()).models[0]
            clock.moment += timedelta(hours=2)

            assert clock.slept_s == [7.0]
            assert first.load_duration is not None
            assert second.load_duration is not None
            assert first.load_duration > 7e9 > second.load_duration
            assert running.expires_at == datetime(2026, 1, 2, 4, 34, 12, 678_900, UTC)
            assert running.context_length == 4_096
            assert (await client.ps()).models == []

    run(body())


def test_empty_request_loads_and_keep_alive_zero_unloads() -> None:
    async def body() -> None:
        async with SimulatedOllama() as service, ollama_client(service) as client:
            loaded = await client.generate("mistral:7b", keep_alive=-1)
            names = service.loaded
            unloaded = await client.generate("mistral:7b", keep_alive=0)

            assert (loaded.done_reason, names) == ("load", ("mistral:7b",))
            assert (unloaded.done_reason, service.loaded) == ("unload", ())

    run(body())


def test_models_make_room_for_each_other() -> None:
    async def body() -> None:
        async with SimulatedOllama(vram_bytes=12_000_000_000) as service, ollama_client(service) as client:
            for name in ("llama3.1:8b", "mistral:7b", "qwen3:8b"):
                await client.generate(name)

            assert set(service.loaded) == {"mistral:7b", "qwen3:8b"}

    run(body())


def test_model_larger_than_memory_is_partly_outside() -> None:
    async def body() -> None:
        async with SimulatedOllama(vram_bytes=4_000_000_000) as service, ollama_client(service) as client:
            await client.generate("qwen3:8b")
            running = (await client.ps()).models[0]

            assert running.size_vram == 4_000_000_000
            assert running.size is not None
            assert running.size > 5_000_000_000

    run(body())


def test_pull_tells_its_progress_and_installs() -> None:
    async def body() -> None:
        async with SimulatedOllama() as service, ollama_client(service) as client:
            steps = [step async for step in await client.pull("qwen3:14b", stream=True)]

            words = [step.status for step in steps if step.digest is None]
            assert words == ["pulling manifest", "verifying sha256 digest", "writing manifest", "success"]
            weights = [step for step in steps if step.total and step.total > 1e9]
            marks = [step.completed or 0 for step in weights]
            assert marks == sorted(marks)
            assert marks[-1] == weights[0].total
            assert "qwen3:14b" in service.installed

    run(body())


def test_pull_that_was_cut_resumes() -> None:
    async def body() -> None:
        async with SimulatedOllama() as service, http_client(service) as client:
            service.faults.once(Fault(FaultKind.END_EARLY, 11, on="/api/pull"))
            cut = await client.post("/api/pull", json={"model": "qwen3:14b"})
            resumed = await client.post("/api/pull", json={"model": "qwen3:14b"})

            reached = json.loads(cut.text.splitlines()[-1])["completed"]
            begins = json.loads(resumed.text.splitlines()[1])["completed"]
            assert 0 < reached == begins
            assert json.loads(resumed.text.splitlines()[-1]) == {"status": "success"}

    run(body())


def test_pull_of_an_unknown_model_fails_inside_the_stream() -> None:
    async def body() -> None:
        async with SimulatedOllama() as service, http_client(service) as client:
            answer = await client.post("/api/pull", json={"model": "nosuch"})

            assert answer.status_code == 200
            assert [json.loads(line) for line in answer.text.splitlines()] == [
                {"status": "pulling manifest"},
                {"error": "pull model manifest: file does not exist"},
            ]

    run(body())


def test_models_are_copied_created_and_deleted() -> None:
    async def body() -> None:
        async with SimulatedOllama() as service, ollama_client(service) as client:
            await client.copy("mistral:7b", "mine")
            created = await client.create("brief", from_="mine", system="Answer in one word.")
            steps = [step.status async for step in await client.create("other", from_="mine", stream=True)]
            await client.delete("mine")

            assert created.status == "success"
            assert steps[-2:] == ["writing manifest", "success"]
            assert service.disk.systems["brief:latest"] == "Answer in one word."
            assert "brief:latest" in service.installed
            assert "mine:latest" not in service.installed

    run(body())


def test_blobs_are_taken_by_their_digest() -> None:
    async def body() -> None:
        blob = b"weights"
        digest = f"sha256:{hashlib.sha256(blob).hexdigest()}"
        async with SimulatedOllama() as service, http_client(service) as client:
            before = await client.head(f"/api/blobs/{digest}")
            taken = await client.post(f"/api/blobs/{digest}", content=blob)
            wrong = await client.post(f"/api/blobs/{digest}", content=b"other")
            after = await client.head(f"/api/blobs/{digest}")

            assert [before.status_code, taken.status_code, wrong.status_code, after.status_code] == [404, 201, 400, 200]

    run(body())


def test_embeddings_are_unit_vectors_near_for_near_texts() -> None:
    async def body() -> None:
        texts = ["the ssh tunnel is down", "a tunnel over ssh", "bake bread with flour"]
        async with SimulatedOllama() as service, ollama_client(service) as client:
            one, near, far = (await client.embed("nomic-embed-text", texts)).embeddings
            short = (await client.embed("nomic-embed-text", texts[0], dimensions=64)).embeddings[0]
            old = (await client.embeddings("nomic-embed-text", texts[0])).embedding

            def alike(first: Any, second: Any) -> float:
                return float(sum(a * b for a, b in zip(first, second, strict=True)))

            assert len(one) == 768
            assert alike(one, one) == pytest.approx(1.0, abs=1e-5)
            assert alike(one, near) > 0.3 > alike(one, far)
            assert len(short) == 64
            assert old == one

    run(body())


def test_missing_model_is_named_in_a_404() -> None:
    async def body() -> None:
        async with SimulatedOllama() as service, ollama_client(service) as client:
            with pytest.raises(ollama.ResponseError) as missing:
                await client.chat("nosuch", user("hi"))

            assert missing.value.status_code == 404
            assert missing.value.error == "model 'nosuch' not found"

    run(body())


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "error"),
    [
        ("POST", "/api/chat", b"", 400, None),
        ("POST", "/api/chat", b"{", 400, None),
        ("POST", "/api/chat", b"{}", 400, "model is required"),
        ("POST", "/api/chat", b"[]", 400, "the body must be a JSON object"),
        ("POST", "/api/chat", b'{"model":"phi3","messages":["hi"]}', 400, None),
        ("POST", "/api/chat", b'{"model":"phi3","messages":7}', 400, None),
        (
            "POST",
            "/api/chat",
            b'{"model":"phi3","truncate":false,"options":{"num_ctx":2},"messages":[{"role":"user"}]}',
            400,
            None,
        ),
        ("POST", "/api/embed", b'{"model":"nomic-embed-text","input":[1]}', 400, "invalid input type"),
        ("POST", "/api/pull", b"{}", 400, "invalid model name"),
        ("POST", "/api/pull", b'{"model":"nosuch","stream":false}', 500, "pull model manifest: file does not exist"),
        ("POST", "/api/create", b"{}", 400, "invalid model name"),
        ("POST", "/api/create", b'{"model":"x","files":{"a":"sha256:0"}}', 400, 'blob "sha256:0" not found'),
        ("POST", "/api/copy", b'{"source":"phi3"}', 400, 'destination "" is invalid'),
        ("POST", "/api/chat", b'{"model":"phi3","keep_alive":"5"}', 400, 'time: missing unit in duration "5"'),
        ("POST", "/api/chat", b'{"model":"nomic-embed-text","messages":[{"role":"user","content":"a"}]}', 400, None),
        ("POST", "/api/copy", b'{"source":"no","destination":"b"}', 404, 'model "no" not found'),
        ("DELETE", "/api/delete", b'{"model":"no"}', 404, "model 'no' not found"),
        ("POST", "/api/create", b'{"model":"x"}', 400, "neither 'from' or 'files' was specified"),
    ],
)
def test_wrong_requests_are_refused(method: str, path: str, body: bytes, status: int, error: str | None) -> None:
    async def ask() -> None:
        async with SimulatedOllama() as service, http_client(service) as client:
            answer = await client.request(method, path, content=body)

            assert answer.status_code == status
            assert answer.json()["error"] == error if error else answer.json()["error"]

    run(ask())


def test_root_version_and_unknown_paths() -> None:
    async def body() -> None:
        async with SimulatedOllama() as service, http_client(service) as client:
            assert (await client.get("/")).text == "Ollama is running"
            assert (await client.head("/")).status_code == 200
            assert "version" in (await client.get("/api/version")).json()
            assert (await client.get("/nowhere")).text == "404 page not found"
            assert (await client.get("/api/chat")).status_code == 405

    run(body())


def test_key_of_a_proxy_in_front_is_asked_for() -> None:
    async def body() -> None:
        async with SimulatedOllama(key="secret") as service:
            async with ollama_client(service) as client:
                with pytest.raises(ollama.ResponseError) as refused:
                    await client.list()
            async with ollama_client(service, authorization="Bearer secret") as client:
                listed = await client.list()

            assert refused.value.status_code == 401
            assert listed.models

    run(body())


def test_openai_face_streams_thinking_tools_and_usage() -> None:
    async def body() -> None:
        async with SimulatedOllama() as service, openai_client(service) as client:
            names = [model.id async for model in client.models.list()]
            stream = await client.chat.completions.create(
                model="qwen3:8b",
                messages=[{"role": "user", "content": "What is the weather in Oslo?"}],
                tools=[WEATHER],
                stream=True,
                stream_options={"include_usage": True},
            )
            chunks = [chunk async for chunk in stream]

            calls = [call for chunk in chunks for choice in chunk.choices for call in choice.delta.tool_calls or ()]
            assert "qwen3:8b" in names
            assert chunks[0].choices[0].delta.role == "assistant"
            assert any("reasoning" in (choice.delta.model_extra or {}) for c in chunks for choice in c.choices)
            assert [call.function.arguments for call in calls if call.function] == ['{"city":"Oslo"}']
            assert chunks[-2].choices[0].finish_reason == "tool_calls"
            assert chunks[-1].usage is not None
            assert chunks[-1].usage.completion_tokens > 0

    run(body())


def test_openai_face_has_embeddings_and_errors_of_its_own_shape() -> None:
    async def body() -> None:
        async with SimulatedOllama() as service, openai_client(service) as client, http_client(service) as plain:
            made = await client.embeddings.create(model="nomic-embed-text", input=["a", "b"])
            missing = await plain.post("/v1/chat/completions", json={"model": "no", "messages": user("hi")})

            assert [len(entry.embedding) for entry in made.data] == [768, 768]
            assert missing.status_code == 404
            assert missing.json()["error"]["type"] == "not_found_error"

    run(body())
