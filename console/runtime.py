"""The only place that builds services and the only place that closes them, in reverse order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from console import __version__
from console.clock import Clock, SystemClock
from console.keys import Keys
from console.logs import start_log, stop_log
from console.paths import Paths
from console.runtime_machines import MachineRuntime
from console.settings import Endpoint, Settings, load_settings
from console.text import plural

if TYPE_CHECKING:
    from console.chat.conversation import Conversation
    from console.chat.desk import Desk
    from console.chat.on_hand import ModelsOnHand
    from console.chat.shelf import Shelf
    from console.clipboard import Clipboard
    from console.history.store import Store
    from console.jobs import Jobs
    from console.library.directly import Manner
    from console.library.embedders import Embedders
    from console.library.library import Library
    from console.library.rerankers import Rerankers
    from console.links.connector import Connector, LoginManners
    from console.links.links import Links
    from console.links.offers import Offers
    from console.links.shared import Shared
    from console.links.tunnels import Tunnels
    from console.links.ways import Readied, Ready, Tell, Ways
    from console.machines.outlook import Outlook
    from console.machines.services import Service
    from providers.chat.base import ChatProvider, Host, ModelInfo
    from providers.embeddings import EmbeddingProvider
    from providers.reach import Reach
    from providers.rerank import RerankProvider
    from rag.worker import OpenEngine

_log = logging.getLogger(__name__)


class Runtime(MachineRuntime):
    """Settings and clock are there at once; the store, providers and jobs are made when first asked for."""

    def __init__(
        self,
        paths: Paths,
        settings: Settings,
        keys: Keys,
        clock: Clock,
        tell: Callable[[str], None],
        *,
        ends_process: bool = False,
        environment: Mapping[str, str] | None = None,
        login_manners: Callable[[], LoginManners] | None = None,
        looks_for_tunnels: bool = True,
    ) -> None:
        """`login_manners` says how links deal with what only a person knows; without it nobody is asked. Without
        `looks_for_tunnels` the store is not opened to find those of other processes."""
        super().__init__(paths, settings, keys, clock, environment or {}, tell)
        self.login_manners = login_manners
        """May be replaced before the first link."""
        self.stays = False
        """Whether this process lives long enough to offer its tunnels to others; said before the first link."""
        self.ready: Ready | None = None
        """What wakes a machine before a link to it is opened for a question; said before the first link."""
        self._ends_process = ends_process
        self._store: Store | None = None
        self._opening = asyncio.Lock()
        self._offering = asyncio.Lock()
        self._jobs: Jobs | None = None
        self._connector: Connector | None = None
        self._tunnels: Tunnels | None = None
        self._offers: Offers | None = None
        self._ways: Ways | None = None
        self._published: Shared | None = None
        self._looks_for_tunnels = looks_for_tunnels
        self._conversation: Conversation | None = None
        self._on_hand: ModelsOnHand | None = None
        self._shelf: Shelf | None = None
        self._desk: Desk | None = None
        self._library: Library | None = None
        self._embeds: Embedders | None = None
        self._ranks: Rerankers | None = None
        self._following: asyncio.Task[None] | None = None
        self._providers: dict[str, ChatProvider] = {}

    async def store(self) -> Store:
        async with self._opening:  # several may ask at once, and there is one store
            if self._store is None:
                from console.history.store import Store

                self._store = await Store.open(self.paths, self.clock)
                for notice in self._store.notices:
                    self._tell(notice)
                if not self._store.read_only and (recovered := await self._store.recover()):
                    from console.chat.recovery import book_lost_calls

                    await book_lost_calls(recovered, self._store, self.settings, self.clock)
                    count = plural(len(recovered), "answer")
                    self._tell(f"{count} cut off by the end of another Hawser: what had come is kept.")
        return self._store

    @property
    def jobs(self) -> Jobs:
        if self._jobs is None:
            from console.jobs import Jobs

            self._jobs = Jobs(self.bus)
        return self._jobs

    @property
    def desk(self) -> Desk:
        """The chats that are open. Neither the store nor a service is touched before one of them is."""
        if self._desk is None:
            from console.chat.desk import Desk

            self._desk = Desk(self.conversation, self.store, self.jobs, self.bus, self.clock, self.settings)
        return self._desk

    @property
    def links(self) -> Links:
        """The SSH links of this process. asyncssh is loaded when the first of them connects."""
        if self._links is None:
            from console.links.connector import Connector, LoginManners, Nobody
            from console.links.links import Links

            manners = self.login_manners() if self.login_manners is not None else LoginManners(Nobody())
            self._connector = Connector(
                self.settings, self.paths, self.environment, self.bus, manners, find=self._whereabouts
            )
            self._links = Links(self._connector.to, self.clock, self.bus)
            self._connector.may_ask = self._links.may_ask
        return self._links

    @property
    def tunnels(self) -> Tunnels:
        """The local ports that lead through links."""
        if self._tunnels is None:
            from console.links.tunnels import Tunnels

            self._tunnels = Tunnels(self.bus)
            following = self.signals.follow(self.bus)
            self._following = asyncio.get_running_loop().create_task(following, name="work through tunnels")
        return self._tunnels

    async def offers(self) -> Offers:
        """The tunnels of this process as other processes find them, and theirs as they are found here."""
        async with self._offering:
            if self._offers is None:
                from console.links.offers import Offers
                from console.links.shared import Shared

                self._offers = await Offers(Shared(await self.store(), self.clock), self.clock, self.bus).__aenter__()
        return self._offers

    @property
    def ways(self) -> Ways:
        """How services of machines are reached, by name."""
        if self._ways is None:
            from console.links.ways import Ways

            self._ways = Ways(
                lambda: self.settings.machines,
                self.clock,
                lambda: self.links,
                lambda: self.tunnels,
                shared=self._shared if self._looks_for_tunnels else None,
                offers=self.offers if self.stays else None,
                ready=self.ready,
                is_asking=lambda: self._connector is not None and self._connector.is_asking,
            )
        return self._ways

    async def _shared(self) -> Shared:
        """What other processes have. Looking needs no heartbeat of our own."""
        if self._published is None:
            from console.links.shared import Shared

            self._published = Shared(await self.store(), self.clock)
        return self._published

    def host(self, endpoint: Endpoint, key: str | None = None) -> Host:
        """Where an endpoint is: at its address, or behind the link to its machine."""
        from providers.chat.base import Host

        reach: Reach | None = None
        if endpoint.machine is not None:
            reach = self.ways.reach(*self._service_of(endpoint))
        headers = {"user-agent": f"hawser/{__version__}", **endpoint.headers}
        return Host(endpoint.name, endpoint.base_url, key, headers, endpoint.connect_s, reach)

    def load_providers(self) -> None:
        """Import what speaks to the endpoints there are. It takes a while and is for a thread."""
        from providers.registry import load

        load({endpoint.wire for endpoint in self.settings.endpoints.values()})

    def provider(self, endpoint: str | Endpoint) -> ChatProvider:
        """The adapter for an endpoint, made once; its key is looked up now, and goes to this endpoint only."""
        if isinstance(endpoint, str):
            endpoint = self.settings.endpoint(endpoint)
        provider = self._providers.get(endpoint.name)
        if provider is None:
            from providers.registry import chat_provider

            host = self.host(endpoint, self.keys.for_endpoint(endpoint))
            provider = self._providers[endpoint.name] = chat_provider(endpoint.wire, host)
            while self.keys.notes:
                self._tell(self.keys.notes.pop(0))
        return provider

    async def conversation(self) -> Conversation:
        """The service that answers turns, wired to this runtime."""
        if self._conversation is None:
            await self.learn_rented()
            from console.chat.breaker import Breakers
            from console.chat.catalogue import Catalogue
            from console.chat.conversation import Conversation
            from console.chat.router import Router
            from console.money.prices import Prices

            store = await self.store()
            catalogue = Catalogue(self.settings.models)
            breakers = Breakers(self.clock, self.store)
            router = Router(
                self.settings,
                self.provider,
                catalogue,
                breakers=breakers,
                seen=store.models_seen,
                remember=self.remember_models,
                is_near=self._is_near,
            )
            prices = Prices(self.settings.prices)
            budget = await self.budget()
            self._conversation = Conversation(
                self.settings,
                store,
                router,
                catalogue,
                breakers,
                prices,
                budget,
                self.provider,
                self.clock,
                self.bus,
                make_ready=self._make_ready,
                library=lambda: self.library,
            )
        return self._conversation

    @property
    def library(self) -> Library:
        """The documents. Nothing of them is opened, and no worker started, before it is asked for something."""
        if self._library is None:
            from console.library.library import Library

            self._library = Library(
                self.paths, self.settings.rag, self.clock, self.bus, manner=self._manner, remote=self._who_embeds
            )
        return self._library

    def _who_embeds(self, embedder: str) -> str | None:
        """The service that gets the text, by what an embedder is called; None where it stays with the user."""
        from console.library.embedders import remote_place

        return remote_place(embedder, self.settings.endpoints)

    def _embedders(self) -> Embedders:
        """What embeds a question without a worker; nothing is made or fetched for it."""
        if self._embeds is None:
            from console.library.embedders import Embedders, wait_on

            self._embeds = Embedders(
                self.paths,
                self.settings.endpoints,
                self._embedding_provider,
                wait_on(asyncio.get_running_loop()),
                find_weights=False,
                book=self._book_embedding,
            )
        return self._embeds

    def _rerankers(self, *, has_time: bool) -> Rerankers:
        """What ranks the passages of a question; only the worker has the time to load a model for it."""
        if self._ranks is None:
            from console.library.embedders import wait_on
            from console.library.rerankers import Rerankers

            self._ranks = Rerankers(
                self.settings.endpoints,
                self._rerank_provider,
                wait_on(asyncio.get_running_loop()),
                threads=self.settings.rag.threads,
                has_time=has_time,
                book=self._book_reranking,
            )
        return self._ranks

    def _rerank_provider(self, endpoint: Endpoint) -> RerankProvider:
        from providers.registry import rerank_provider

        return rerank_provider(endpoint.wire, self.host(endpoint, self.keys.for_endpoint(endpoint)))

    async def _book_embedding(self, endpoint: Endpoint, model: str, tokens: int | None) -> None:
        await self._book_documents(endpoint, model, tokens, "embedding")

    async def _book_reranking(self, endpoint: Endpoint, model: str, tokens: int | None) -> None:
        await self._book_documents(endpoint, model, tokens, "reranking")

    async def _book_documents(self, endpoint: Endpoint, model: str, tokens: int | None, task: str) -> None:
        from console.errors import StoreError
        from console.money.embedding import embedding_entry
        from console.money.prices import Prices

        prices = Prices(self.settings.prices)
        at = self.clock.now()
        entry = embedding_entry(endpoint, model, tokens, prices=prices, at=at, client="documents", task=task)
        try:
            await (await self.store()).book(entry)
        except StoreError as error:
            _log.warning("the %s of documents could not be booked: %s", task, error.text)

    def documents_engine(self) -> OpenEngine:
        """For the worker of the documents only: what opens the one engine over them, in a thread."""
        from console.library.documents_engine import open_engine
        from console.library.embedders import Embedders, wait_on

        embedders = Embedders(
            self.paths,
            self.settings.endpoints,
            self._embedding_provider,
            wait_on(asyncio.get_running_loop()),
            threads=self.settings.rag.threads,
            book=self._book_embedding,
        )
        self._embeds = embedders
        token = self.keys.get("CHROMA_TOKEN") if self.settings.rag.chroma_url else None
        reranker = self.settings.rag.reranker
        rerank = self._rerankers(has_time=True).of(reranker) if reranker is not None else None
        return lambda tell: open_engine(
            self.paths, self.settings.rag, embedders.open, tell, rerank=rerank, chroma_token=token
        )

    def _embedding_provider(self, endpoint: Endpoint) -> EmbeddingProvider:
        from providers.registry import embedding_provider

        return embedding_provider(endpoint.wire, self.host(endpoint, self.keys.for_endpoint(endpoint)), self.clock)

    def _manner(self) -> Manner:
        from console.library.directly import Manner

        rag = self.settings.rag
        rerank = self._rerankers(has_time=False).of(rag.reranker) if rag.reranker is not None else None
        return Manner(self._embedders().open, rag.vector_weight, rag.lexical_weight, rerank)

    @property
    def shelf(self) -> Shelf:
        """The chats as a person keeps them: lists, search, pins, tags, deleting."""
        if self._shelf is None:
            from console.chat.shelf import Shelf

            self._shelf = Shelf(self.store, self.clock, self.bus, stop_answers=self._stop_answers)
        return self._shelf

    async def _stop_answers(self, chat_id: str) -> None:
        """What arrives in a chat that is about to be deleted is not paid for any longer."""
        for chat in self._desk.busy if self._desk is not None else ():
            if chat.id == chat_id:
                await chat.stop()

    def clipboard(self, draw: Callable[[str], None]) -> Clipboard:
        """The clipboard of whoever sits at the terminal; `draw` sends control codes to it."""
        from console.clipboard import Clipboard

        file = self.paths.state / "clipboard.txt"
        return Clipboard(self.environment, file, draw, manner=self.settings.screen.clipboard)

    async def on_hand(self) -> ModelsOnHand:
        """Every name that can be chosen to answer, with its state."""
        conversation = await self.conversation()
        if self._on_hand is None:
            from console.chat.on_hand import ModelsOnHand

            self._on_hand = ModelsOnHand(
                self.settings,
                conversation.catalogue,
                conversation.prices,
                conversation.breakers,
                conversation.store.models_seen,
                self.remember_models,
                self.provider,
                self._is_near,
                self._loaded,
                self.clock,
                lately=self._models_lately,
                outlooks=self._outlooks,
            )
        return self._on_hand

    async def _models_lately(self, most: int) -> list[str]:
        from console.history import models_seen

        store = await self.store()
        return await store.run(lambda connection: models_seen.lately(connection, most))

    async def _outlooks(self) -> Mapping[str, Outlook]:
        from console.machines.outlook import outlooks

        store, machines, lease, now = await self.store(), self.settings.machines, self.settings.lease, self.clock.now()
        return await store.run(lambda connection: outlooks(connection, machines, lease, now)) if machines else {}

    async def _loaded(self, endpoint: Endpoint) -> frozenset[str]:
        """The models that an Ollama host has in memory."""
        from providers.chat.ollama import Ollama

        provider = self.provider(endpoint)
        return await provider.loaded() if isinstance(provider, Ollama) else frozenset()

    async def _make_ready(self, endpoint: Endpoint, tell: Tell) -> Readied:
        machine, service = self._service_of(endpoint)
        readied = await self.ways.make_ready(machine, service, tell)
        self.signals.soon(machine, "requests", f"a request to {service.label}")
        return readied._replace(usd_per_hour=await self._price_of(machine))

    async def _is_near(self, endpoint: Endpoint) -> bool:
        return await self.ways.is_open(*self._service_of(endpoint))

    def _service_of(self, endpoint: Endpoint) -> tuple[str, Service]:
        assert endpoint.machine is not None
        assert endpoint.service is not None
        return endpoint.machine, self.ways.service(endpoint.machine, endpoint.service)

    async def remember_models(self, endpoint: str, models: Sequence[ModelInfo]) -> None:
        """Keep what an endpoint has, for completion and for names without an endpoint."""
        from console.history.models_seen import seen

        store = await self.store()
        await store.remember_models(endpoint, [seen(model) for model in models])

    async def close(self) -> None:
        if self._jobs is not None:
            await self._jobs.close()
        await self._close_guard()
        if self._library is not None:
            await self._library.close()
        if self._embeds is not None:
            await asyncio.to_thread(self._embeds.close)
        if self._ranks is not None:
            await asyncio.to_thread(self._ranks.close)
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait([self._following])
        for provider in self._providers.values():
            await provider.close()
        if self._offers is not None:
            await self._offers.__aexit__()
        if self._tunnels is not None:
            await self._tunnels.close()
        if self._links is not None:
            await self._links.close()
        if self._alerts is not None:
            await self._alerts.close()
        if self._store is not None:
            await self._store.close(leave=self._ends_process)
        self.bus.close()


@asynccontextmanager
async def open_runtime(
    paths: Paths,
    environment: Mapping[str, str],
    tell: Callable[[str], None],
    *,
    clock: Clock | None = None,
    discover: bool = True,
    ends_process: bool = False,
    login_manners: Callable[[], LoginManners] | None = None,
) -> AsyncIterator[Runtime]:
    """A runtime for the length of a block.

    `tell` gets plain sentences about what was repaired or recovered. With `ends_process` the store is left to the next
    process to tidy up.
    """
    settings = load_settings(paths, environment, discover=discover)
    keys = Keys(paths, environment)
    log_file = start_log(paths.log_file, settings.log.level, keys.secrets)
    runtime = Runtime(
        paths,
        settings,
        keys,
        clock or SystemClock(),
        tell,
        ends_process=ends_process,
        environment=environment,
        login_manners=login_manners,
    )
    for note in settings.notes:
        tell(note)
    try:
        yield runtime
    finally:
        try:
            await runtime.close()
        finally:
            stop_log(log_file)
