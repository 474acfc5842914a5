"""`hawser model`: what models there are on every endpoint; on Ollama hosts also fetch, remove, load and unload them.

A target is `endpoint/model`, or a model with `--endpoint NAME`. With only one Ollama endpoint its name can be left out.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from console.chat.breaker import is_down
from console.errors import ConsoleError, Exit, NotFound, SettingsError, StoreError, UsageError, explain
from console.pull_meter import PullMeter, time_words
from console.text import size_words
from providers.errors import ProviderError, StreamBroken, TimedOut

if TYPE_CHECKING:
    import argparse
    from collections.abc import Awaitable, Callable, Sequence

    from console.history.models_seen import SeenModel
    from console.runtime import Runtime
    from console.settings import Endpoint
    from console.shell import Shell
    from providers.chat.base import ModelInfo
    from providers.chat.ollama_admin import OllamaAdmin

HELP = "models on your endpoints: ls, show, pull, rm, load, unload"

LIST_LIMIT_S = 10.0
MACHINE_LIMIT_S = 4.0
"""The same for a machine among others: it may be off, and whoever looks at the list does not want to wait for it."""
TAKEN_UP_AGAIN_AFTER_S = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("ls", help="the models of one endpoint, or of all")
    listing.add_argument("endpoint", nargs="?", help="only this endpoint")
    listing.add_argument("--loaded", action="store_true", help="only what Ollama hosts have in memory")
    _with_json(listing)
    for word, sentence in (
        ("show", "what is known of a model"),
        ("pull", "fetch a model onto an Ollama host"),
        ("rm", "remove a model from an Ollama host"),
        ("load", "bring a model into an Ollama host's memory"),
        ("unload", "take a model out of an Ollama host's memory"),
    ):
        action = actions.add_parser(word, help=sentence)
        action.add_argument("model", help="endpoint/model, or a model")
        action.add_argument("--endpoint", metavar="NAME", help="the endpoint, where the model does not name it")
        if word == "rm":
            action.add_argument("--yes", action="store_true", help="do not ask")
        if word == "load":
            action.add_argument("--keep-alive", metavar="TIME", help='how long it stays: "30m", "2h", -1 for good')
        _with_json(action)


def _with_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    return asyncio.run(_run(arguments, shell))


async def _run(arguments: argparse.Namespace, shell: Shell) -> int:
    async with shell.runtime() as runtime:
        await runtime.learn_rented()
        command = Command(arguments, shell, runtime)
        if arguments.action == "ls":
            return await (command.list_loaded() if arguments.loaded else command.list_models())
        if arguments.action == "show":
            await command.show()
        elif arguments.action == "pull":
            await command.pull()
        elif arguments.action == "rm":
            await command.remove()
        elif arguments.action == "load":
            await command.load()
        else:
            await command.unload()
    return Exit.DONE


class Command:
    """One run of `hawser model`."""

    def __init__(self, arguments: argparse.Namespace, shell: Shell, runtime: Runtime) -> None:
        self.arguments = arguments
        self.shell = shell
        self.runtime = runtime

    # ---- ls

    async def list_models(self) -> int:
        endpoints = self._asked_endpoints()
        found, failed = await self._ask_all(endpoints, self._models_of)
        here = [(endpoint, model, True) for endpoint, models in found for model in models]
        rows = [*here, *await self._seen_on([one for one in failed if one.machine is not None])]
        rows.sort(key=lambda row: endpoints.index(row[0]))
        if self.arguments.json:
            self.shell.items(
                [
                    {"endpoint": one.name, "machine": one.machine, "online": is_online, **_facts(model)}
                    for one, model, is_online in rows
                ]
            )
        elif rows:
            headings: tuple[str, ...] = ("ENDPOINT", "MODEL", "SIZE", "PARAMETERS", "CONTEXT", "SEES")
            table = [_row(endpoint, model) for endpoint, model, _ in rows]
            if len(rows) > len(here):
                headings = (*headings, "STATE")
                table = [
                    (*row, "" if is_online else "offline") for row, (*_, is_online) in zip(table, rows, strict=True)
                ]
            self.shell.table(headings, table)
        elif found:
            self.shell.note("No models there. Fetch one with: hawser model pull ENDPOINT/MODEL")
        return Exit.UNREACHABLE if failed and not found and not rows else Exit.DONE

    async def _seen_on(self, machines: Sequence[Endpoint]) -> list[tuple[Endpoint, SeenModel, bool]]:
        """What machines that are off had when they were last asked."""
        if not machines:
            return []
        try:
            store = await self.runtime.store()
            return [(one, model, False) for one in machines for model in await store.models_seen(one.name)]
        except StoreError as error:
            self.shell.note(f"What the machines had is not known: {error.text}")
            return []

    async def _models_of(self, endpoint: Endpoint) -> list[ModelInfo]:
        from providers.chat.base import ModelInfo

        try:
            models = await self.runtime.provider(endpoint).models()
        except ProviderError:
            if not endpoint.models:
                raise
            models = []
        await self._remember(endpoint, models)
        if not endpoint.models:
            return models
        known = {model.name: model for model in models}
        return [known.get(name) or ModelInfo(name) for name in endpoint.models]

    async def list_loaded(self) -> int:
        endpoints = [endpoint for endpoint in self._asked_endpoints() if endpoint.wire == "ollama"]
        if not endpoints:
            raise UsageError("Only Ollama hosts tell what they have in memory, and none was asked.")

        async def loaded(endpoint: Endpoint) -> list[dict[str, Any]]:
            async with self._admin(endpoint) as admin:
                return [
                    {
                        "endpoint": endpoint.name,
                        "name": model.name,
                        "size_bytes": model.size_bytes,
                        "vram_bytes": model.vram_bytes,
                        "context_tokens": model.context_tokens,
                        "expires_at": model.expires_at and model.expires_at.isoformat(),
                    }
                    for model in await admin.loaded()
                ]

        found, failed = await self._ask_all(endpoints, loaded)
        rows = [row for _, several in found for row in several]
        if self.arguments.json:
            self.shell.items(rows)
        elif rows:
            headings = ("ENDPOINT", "MODEL", "MEMORY", "ON GPU", "CONTEXT", "UNTIL")
            self.shell.table(headings, [_loaded_row(row) for row in rows])
        elif found:
            self.shell.note("No model is in memory.")
        return Exit.UNREACHABLE if failed and not found else Exit.DONE

    async def _ask_all(
        self, endpoints: Sequence[Endpoint], ask: Callable[[Endpoint], Awaitable[list[Any]]]
    ) -> tuple[list[tuple[Endpoint, list[Any]]], list[Endpoint]]:
        """All at once, each with its own time limit. A failure is a note, unless only that endpoint was asked."""
        among_others = self.arguments.endpoint is None
        if among_others and any(endpoint.machine for endpoint in endpoints):
            from console.links.connector import strangers_refused

            self.runtime.login_manners = strangers_refused

        async def one(endpoint: Endpoint) -> list[Any]:
            limit_s = MACHINE_LIMIT_S if among_others and endpoint.machine else LIST_LIMIT_S
            try:
                async with asyncio.timeout(limit_s):
                    return await ask(endpoint)
            except TimeoutError as error:
                text = f"{endpoint.name} did not answer within {limit_s:g} s."
                raise TimedOut(text, phase="total", limit_s=limit_s) from error

        results = await asyncio.gather(*(one(endpoint) for endpoint in endpoints), return_exceptions=True)
        found: list[tuple[Endpoint, list[Any]]] = []
        failed: list[Endpoint] = []
        for endpoint, result in zip(endpoints, results, strict=True):
            if not isinstance(result, BaseException):
                found.append((endpoint, result))
            elif isinstance(result, ProviderError | ConsoleError) and among_others:
                failed.append(endpoint)
                is_off = endpoint.machine is not None and is_down(result)
                self.shell.note(f"{endpoint.name} is offline. {_told(result)}" if is_off else _told(result))
            else:
                raise result
        return found, failed

    def _asked_endpoints(self) -> list[Endpoint]:
        settings = self.runtime.settings
        if self.arguments.endpoint is not None:
            return [settings.endpoint(self.arguments.endpoint)]
        if not settings.endpoints:
            raise SettingsError(
                "No endpoint is set, so there are no models.",
                hint="Start Ollama here, set OPENAI_API_KEY or another key, or add one with: hawser config edit",
            )
        return list(settings.endpoints.values())

    async def _remember(self, endpoint: Endpoint, models: Sequence[ModelInfo]) -> None:
        """Keep the list for completion and routing. A history that cannot be written is no reason to show nothing."""
        from console.history.models_seen import SeenModel

        try:
            store = await self.runtime.store()
            await store.remember_models(endpoint.name, [SeenModel(**_facts(model)) for model in models])
        except StoreError as error:
            self.shell.note(f"The list is not remembered: {error.text}")

    # ---- one model

    async def show(self) -> None:
        endpoint, model = await self._target(on_ollama=False)
        facts: dict[str, Any]
        if endpoint.wire == "ollama":
            async with self._admin(endpoint) as admin:
                details = await admin.show(model)
            facts = _facts(details.info)
            facts["capabilities"] = list(details.capabilities)
            facts["parameters_set"] = details.parameters
            facts["license"] = details.license and details.license.strip().partition("\n")[0]
            facts["modified_at"] = details.modified_at and details.modified_at.isoformat()
        else:
            offered = await self._models_of(endpoint)
            info = next((one for one in offered if one.name == model), None)
            if info is None:
                raise NotFound(
                    f"{endpoint.name} does not list a model {model!r}.", hint=f"See: hawser model ls {endpoint.name}"
                )
            facts = _facts(info)
        facts = {"endpoint": endpoint.name, **facts}
        if self.arguments.json:
            self.shell.json({"schema": 1, **facts})
            return
        for name, value in facts.items():
            if value not in (None, "", []):
                self.shell.say(f"{name.replace('_', ' ')}: {_words(name, value)}")

    async def pull(self) -> None:
        endpoint, model = await self._target()
        meter = PullMeter(self.shell, f"{model} on {endpoint.name}", self.runtime.clock.monotonic)
        async with self._admin(endpoint) as admin:
            brought = -1
            while True:
                try:
                    async with aclosing(admin.pull(model)) as steps:
                        async for step in steps:
                            meter.show(step)
                    break
                except (StreamBroken, TimedOut):
                    # The host keeps what it has; as long as each try brings more, it is worth another.
                    if meter.completed_bytes <= brought:
                        raise
                    brought = meter.completed_bytes
                    meter.end()
                    self.shell.note(f"The pull of {model} broke off; it goes on where it was.")
                    await self.runtime.clock.sleep(TAKEN_UP_AGAIN_AFTER_S)
                finally:
                    meter.end()
        await self._models_of(endpoint)
        seconds = meter.seconds
        if self.arguments.json:
            self._report(endpoint, model, "pulled", size_bytes=meter.total_bytes, seconds=round(seconds, 3))
        else:
            self.shell.note(f"{model} is on {endpoint.name} ({size_words(meter.total_bytes)}, {time_words(seconds)}).")

    async def remove(self) -> None:
        endpoint, model = await self._target()
        if not self.arguments.yes:
            if not self.shell.is_interactive():
                raise UsageError("Without a terminal to ask on, removing a model needs --yes.")
            if not self.shell.confirm(f"Remove {model} from {endpoint.name}? It must be fetched again to be used."):
                self.shell.note("Nothing was removed.")
                return
        async with self._admin(endpoint) as admin:
            await admin.delete(model)
        await self._models_of(endpoint)
        self._report(endpoint, model, "removed")

    async def load(self) -> None:
        endpoint, model = await self._target()
        began = self.runtime.clock.monotonic()
        async with self._admin(endpoint) as admin:
            await admin.load(model, keep=self.arguments.keep_alive or endpoint.keep_alive, limit_s=endpoint.load_s)
        self._report(endpoint, model, "loaded", seconds=round(self.runtime.clock.monotonic() - began, 3))

    async def unload(self) -> None:
        endpoint, model = await self._target()
        async with self._admin(endpoint) as admin:
            was_loaded = await admin.unload(model)
        self._report(endpoint, model, "unloaded" if was_loaded else "not loaded")

    def _report(self, endpoint: Endpoint, model: str, outcome: str, **more: Any) -> None:
        if self.arguments.json:
            self.shell.json({"schema": 1, "endpoint": endpoint.name, "model": model, "outcome": outcome, **more})
        else:
            self.shell.note(f"{model} on {endpoint.name}: {outcome}.")

    async def _target(self, *, on_ollama: bool = True) -> tuple[Endpoint, str]:
        """The endpoint and the model meant. Left out, the endpoint is the only one there is, or the only one known to
        have the model."""
        settings = self.runtime.settings
        first, slash, rest = self.arguments.model.partition("/")
        if self.arguments.endpoint is not None:
            endpoint, model = settings.endpoint(self.arguments.endpoint), self.arguments.model
            if slash and rest and first == endpoint.name:
                model = rest
        elif slash and rest and first in settings.endpoints:
            endpoint, model = settings.endpoints[first], rest
        else:
            endpoint, model = await self._only_endpoint(on_ollama), self.arguments.model
        if on_ollama and endpoint.wire != "ollama":
            raise UsageError(
                f"{endpoint.name} is no Ollama host: its models can be listed and shown, but not changed.",
                hint=f"It speaks the {endpoint.wire} wire.",
            )
        return endpoint, model

    async def _only_endpoint(self, on_ollama: bool) -> Endpoint:
        able = [one for one in self.runtime.settings.endpoints.values() if one.wire == "ollama" or not on_ollama]
        model = self.arguments.model
        if len(able) > 1 and self.arguments.action != "pull":
            seen = {row.endpoint for row in await (await self.runtime.store()).models_seen() if row.name == model}
            having = [one for one in able if one.name in seen or model in one.models]
            able = having if len(having) == 1 else able
        if len(able) == 1:
            return able[0]
        if not able:
            raise SettingsError(
                "No Ollama endpoint is set." if on_ollama else "No endpoint is set.",
                hint="Start Ollama here, or add an endpoint with: hawser config edit",
            )
        names = ", ".join(one.name for one in able)
        raise UsageError(
            f"Which endpoint is meant for {model!r}? There are {names}.",
            hint=f"Write it before the model, as in {able[0].name}/{model}",
        )

    def _admin(self, endpoint: Endpoint) -> OllamaAdmin:
        from providers.chat.ollama import Ollama

        provider = self.runtime.provider(endpoint)
        assert isinstance(provider, Ollama)
        return provider.admin()


# ---- words


def _told(error: BaseException) -> str:
    """The sentence, and its hint where only the user can mend it."""
    told = explain(error)
    return f"{told.text} {told.hint}" if told.hint and told.exit_code == Exit.SETTINGS else told.text


def _facts(model: ModelInfo | SeenModel) -> dict[str, Any]:
    return {
        "name": model.name,
        "size_bytes": model.size_bytes,
        "context_tokens": model.context_tokens,
        "family": model.family,
        "parameters": model.parameters,
        "quantization": model.quantization,
        "digest": model.digest,
        "sees_images": model.sees_images,
        "price_input_usd_per_million": model.price_input_usd_per_million,
        "price_output_usd_per_million": model.price_output_usd_per_million,
    }


def _row(endpoint: Endpoint, model: ModelInfo | SeenModel) -> tuple[str, ...]:
    return (
        endpoint.name,
        model.name,
        "" if model.size_bytes is None else size_words(model.size_bytes),
        " ".join(part for part in (model.parameters, model.quantization) if part),
        "" if model.context_tokens is None else f"{model.context_tokens:,}",
        "images" if model.sees_images else "",
    )


def _loaded_row(row: dict[str, Any]) -> tuple[str, ...]:
    size, vram = row["size_bytes"], row["vram_bytes"]
    return (
        row["endpoint"],
        row["name"],
        "" if size is None else size_words(size),
        "" if not size or vram is None else f"{100 * vram // size} %",
        "" if row["context_tokens"] is None else f"{row['context_tokens']:,}",
        _until(row["expires_at"]),
    )


def _until(moment: str | None) -> str:
    """When a model will be let go, on the user's clock; a far day stands for never."""
    if moment is None:
        return ""
    from datetime import datetime

    local = datetime.fromisoformat(moment).astimezone()
    days = (local - datetime.now().astimezone()).days
    if days > 3650:
        return "for good"
    return f"{local:%H:%M}" if days < 1 else f"{local:%Y-%m-%d %H:%M}"


def _words(name: str, value: Any) -> str:
    if name == "size_bytes":
        return size_words(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(value)
    if isinstance(value, int):
        return f"{value:,}"
    return " ".join(str(value).split())
