"""From a name and a prompt to the candidates that may answer, in order, and the reason in words.

A name is, in this order: an alias, a route (`auto` picks one by the prompt), `endpoint/model` when the part before the
first `/` is a known endpoint, or a model that exactly one endpoint has. Only what aliases and routes write as a chain
falls back. `endpoint/model` needs neither the store nor the network; other names look at the settings, then at what the
store has seen, and ask the endpoints only for what neither knows.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from console.chat.catalogue import Catalogue
from console.chat.offers import Offers
from console.errors import NoModel, SettingsError
from console.found_endpoints import HOW_TO_BEGIN
from providers.chat.base import ChatProvider, ModelInfo

if TYPE_CHECKING:
    from console.chat.breaker import Breakers
    from console.chat.offers import Seen
    from console.settings import ChainEntry, Endpoint, Settings

AUTO = "auto"
ASK_S = 2.0
"""How long all endpoints together have to say which models they have."""


# Named tuples, not dataclasses: they are made at import on the way to every answer, at a seventh of the cost.
class Candidate(NamedTuple):
    """One endpoint and model that may answer, and how hard to try it."""

    endpoint: Endpoint
    model: str
    timeout_s: float | None = None
    max_tokens: int | None = None
    retries: int = 2

    @property
    def name(self) -> str:
        """The form that names it and nothing else: `inference/qwen3:32b`."""
        return f"{self.endpoint.name}/{self.model}"


class Choice(NamedTuple):
    """Who is asked, in order. Never without a candidate."""

    candidates: tuple[Candidate, ...]
    reason: str
    """Why, in words: `alias gpt-4 → inference/qwen3:32b`."""
    notes: tuple[str, ...]
    """What is not as one would expect: a model that stands in for another, a candidate that was left out."""
    falls_back: bool
    prompt: str
    """The prompt without the `@route` that it may have begun with."""


class Router:
    """Chooses who answers. Holds no state of its own between two prompts."""

    def __init__(
        self,
        settings: Settings,
        provider: Callable[[str], ChatProvider],
        catalogue: Catalogue,
        *,
        breakers: Breakers | None = None,
        seen: Callable[[], Awaitable[Sequence[Seen]]] | None = None,
        remember: Callable[[str, Sequence[ModelInfo]], Awaitable[None]] | None = None,
        ask_s: float = ASK_S,
        is_near: Callable[[Endpoint], Awaitable[bool]] | None = None,
    ) -> None:
        """`seen` gives what the store knows of all endpoints' models; `remember` replaces that for one of them.
        `is_near` tells whether the machine of an endpoint is connected."""
        self._is_near = is_near
        self._settings, self._provider, self._catalogue = settings, provider, catalogue
        self._breakers, self._seen, self._remember, self._ask_s = breakers, seen, remember, ask_s

    async def choose(
        self,
        name: str | None,
        prompt: str,
        *,
        needs_images: bool = False,
        allow_fallback: bool = True,
        may_ask: bool = True,
    ) -> Choice:
        """Who answers this prompt. Raises `NoModel` when nobody can, or when the name fits two. Without `may_ask` it is
        told from what is known, and no network is touched."""
        offers = Offers(
            self._settings.endpoints,
            self._seen,
            self._remember,
            self._provider,
            self._breakers,
            self._ask_s,
            self._is_near,
            may_ask=may_ask,
        )
        turn = _Turn(self._settings, self._catalogue, offers, prompt)
        candidates, reason = await turn.resolve(name)
        if needs_images:
            await offers.read()  # what the endpoints said of their models' eyes
            candidates = turn.seeing(candidates)
        if not allow_fallback:
            candidates = candidates[:1]
        if self._breakers is not None and len(candidates) > 1:
            candidates = await turn.closed_first(candidates, self._breakers)
        return Choice(tuple(candidates), reason, tuple(turn.notes), len(candidates) > 1, turn.prompt)


class _Turn:
    """One choice on its way: the prompt, what was found out, and what is worth saying."""

    def __init__(self, settings: Settings, catalogue: Catalogue, offers: Offers, prompt: str) -> None:
        self._settings, self._catalogue, self._offers = settings, catalogue, offers
        self.prompt = prompt
        self.notes: list[str] = []

    async def resolve(self, name: str | None) -> tuple[list[Candidate], str]:
        """The candidates for a name, or for none, and the reason."""
        settings = self._settings
        if self.prompt.startswith("@") and (name is None or (self._is_route(name) and name not in settings.aliases)):
            from console.chat.classify import split_marker  # only for prompts that begin with an @

            marked, rest = split_marker(self.prompt, settings.routes)
            if marked is not None:
                self.prompt = rest
                return await self._chain(marked, ()), f"route {marked}, as @{marked} asks"
        if name is not None:
            return await self._named(name)
        if settings.chat.model is not None:
            candidates, reason = await self._named(settings.chat.model)
            return candidates, f"the model of [chat] in the settings: {reason}"
        return await self._only_one()

    async def _named(self, name: str) -> tuple[list[Candidate], str]:
        settings = self._settings
        if name in settings.aliases:
            candidates = await self._chain(name, ())
            return candidates, f"alias {name} → {candidates[0].name}"
        if self._is_route(name):
            route, why = self._route(name)
            candidates = await self._chain(route, ())
            return (
                candidates,
                f"route {route}, because the prompt {why}" if why else f"route {route} → {candidates[0].name}",
            )
        explicit = self._explicit(name)
        if explicit is not None:
            return [explicit], f"{name}, as it was named"
        places = await self._offers.having(name)
        if len(places) == 1:
            return [Candidate(*places[0])], f"{name} is on {places[0][0].name} only"
        if places:
            forms = " or ".join(f"{endpoint.name}/{model}" for endpoint, model in places)
            raise NoModel(f"The model {name!r} is on {len(places)} endpoints.", hint=f"Say which: {forms}.")
        raise NoModel(f"The model {name!r} is on no endpoint.", hint=self._hint(name))

    async def _only_one(self) -> tuple[list[Candidate], str]:
        """Without any name: the first model of the only endpoint."""
        endpoints = list(self._settings.endpoints.values())
        if not endpoints:
            raise NoModel("There is no endpoint to ask.", hint=HOW_TO_BEGIN)
        models = [pair for pair in await self._offers.everything() if self._catalogue.is_for_chat(pair[1])]
        if len(endpoints) == 1 and models:
            endpoint, model = models[0]
            return [Candidate(endpoint, model)], f"{model}, the first model of {endpoint.name}, the only endpoint"
        if models:
            choices = _listed([f"{endpoint.name}/{model}" for endpoint, model in models])
            raise NoModel(
                "No model was named, and there are several.", hint=f"Name one with -m, or set [chat] model: {choices}."
            )
        names = _listed([endpoint.name for endpoint in endpoints])
        is_found = all(self._settings.origin(f"endpoints.{each.name}").kind != "file" for each in endpoints)
        hints = (self._offers.silence(), HOW_TO_BEGIN if is_found else "")  # who wrote an endpoint knows how to begin
        raise NoModel(f"No model was named, and none is known on {names}.", hint=" ".join(filter(None, hints)) or None)

    # Names that stand for others

    def _is_route(self, name: str) -> bool:
        return name == AUTO or name in self._settings.routes

    def _route(self, name: str) -> tuple[str, str]:
        """The route of a name; for `auto` the one that the prompt asks for, and why."""
        if name != AUTO or name in self._settings.routes:
            return name, ""
        from console.chat.classify import classify  # word lists and patterns, only where the prompt decides

        verdict = classify(self.prompt)
        return verdict.kind, " and ".join(verdict.reasons)

    def _explicit(self, name: str) -> Candidate | None:
        left, slash, model = name.partition("/")
        endpoint = self._settings.endpoints.get(left)
        if endpoint is None:
            return None
        if not slash or not model:
            hint = self._hint(name) or "Write ENDPOINT/MODEL."
            raise NoModel(f"{left!r} is an endpoint; the name of a model is missing.", hint=hint)
        return Candidate(endpoint, model)

    async def _chain(self, name: str, path: tuple[str, ...]) -> list[Candidate]:
        """The candidates of an alias or a route, with those of the chains that it refers to in their places."""
        if name in path:
            circle = " → ".join((*path[path.index(name) :], name))
            raise SettingsError(
                f"The chain {circle} goes in a circle.", hint="Change [aliases] or [routes]: hawser config edit"
            )
        is_alias = name in self._settings.aliases
        entries = self._settings.aliases[name] if is_alias else self._settings.routes[name]
        candidates: list[Candidate] = []
        missing: list[ChainEntry] = []
        for entry in entries:
            found = await self._entry(entry, (*path, name))
            candidates += found
            if not found:
                missing.append(entry)
        if not candidates and not is_alias:
            stand_in = await self._nearest(missing[0].target, name)
            candidates = [_limited(stand_in, missing[0])] if stand_in is not None else []
        elif candidates:
            self.notes += [f"{entry.target} is on no endpoint and left out." for entry in missing]
        if not candidates and not path:
            what = _listed([entry.target for entry in missing])
            raise NoModel(
                f"Nothing in {'alias' if is_alias else 'route'} {name} is there: {what}.", hint=self._hint(what)
            )
        once: dict[tuple[str, str], Candidate] = {}
        for each in candidates:
            once.setdefault((each.endpoint.name, each.model), each)
        return list(once.values())

    async def _entry(self, entry: ChainEntry, path: tuple[str, ...]) -> list[Candidate]:
        target = entry.target
        if target in self._settings.aliases or self._is_route(target):
            name = target if target in self._settings.aliases else self._route(target)[0]
            inner = await self._chain(name, path)
            return [
                each._replace(
                    timeout_s=entry.timeout_s if each.timeout_s is None else each.timeout_s,
                    max_tokens=entry.max_tokens if each.max_tokens is None else each.max_tokens,
                )
                for each in inner
            ]
        explicit = self._explicit(target)
        if explicit is not None:
            return [_limited(explicit, entry)]
        # Where a chain names a model that several endpoints have, all of them may answer: it is a chain after all.
        places = await self._offers.having(target, asks_all=False)
        far = {place[0].name for place in places if len(places) > 1 and await self._offers.is_far(place[0])}
        return [_limited(Candidate(*place), entry) for place in sorted(places, key=lambda place: place[0].name in far)]

    async def _nearest(self, wanted: str, route: str) -> Candidate | None:
        """What stands in for a route's model that is nowhere: what costs nothing first, machines that are not connected
        behind those that are, then what is most like it."""
        role = route if route in ("code", "quick") else "general"
        places = [place for place in await self._offers.everything() if self._catalogue.is_for_chat(place[1])]
        if not places:
            return None
        by_name = {endpoint.name: endpoint for endpoint, _ in places}
        far = {name for name, endpoint in by_name.items() if await self._offers.is_far(endpoint)}
        endpoint, model = min(
            places,
            key=lambda place: (
                _may_cost(place[0]),
                place[0].name in far,
                self._catalogue.distance(wanted, place[1], role=role),
            ),
        )
        is_same = self._catalogue.distance(wanted, model)[0] == 0
        how = "the same model by another name" if is_same else "the nearest that is there"
        self.notes.append(f"{wanted} is on no endpoint; {endpoint.name}/{model} answers, {how}.")
        return Candidate(endpoint, model)

    # What is left out or moved

    def seeing(self, candidates: list[Candidate]) -> list[Candidate]:
        """Those that may see images; a model nobody knows is given the chance."""
        blind = [each for each in candidates if self._sees_images(each) is False]
        left = [each for each in candidates if each not in blind]
        if not left:
            seeing = [
                f"{endpoint.name}/{model}"
                for endpoint, model in self._offers.known()
                if self._sees_images(Candidate(endpoint, model))
            ]
            raise NoModel(
                f"{_listed([each.name for each in blind])} cannot see images.",
                hint=f"These can: {_listed(seeing)}." if seeing else "Name a model that can with -m.",
            )
        self.notes += [f"{each.name} cannot see images and is left out." for each in blind]
        return left

    def _sees_images(self, candidate: Candidate) -> bool | None:
        said = self._offers.sees_images(candidate.endpoint.name, candidate.model)
        if said is not None and candidate.model not in self._settings.models:
            return said
        model = self._catalogue.find(candidate.model)
        return model.sees_images if model is not None else None

    async def closed_first(self, candidates: list[Candidate], breakers: Breakers) -> list[Candidate]:
        """Endpoints that failed again and again go behind the others; none is dropped."""
        names = dict.fromkeys(each.endpoint.name for each in candidates)
        open_s = {name: left_s for name in names if (left_s := await breakers.open_for_s(name)) > 0}
        if not open_s or len(open_s) == len(names):
            return candidates
        self.notes += [
            f"{name} failed several times in a row and is asked last for another {left_s:.0f} s."
            for name, left_s in open_s.items()
        ]
        return sorted(candidates, key=lambda each: each.endpoint.name in open_s)

    def _hint(self, name: str) -> str | None:
        """The nearest names there are, or some of them, and who did not answer."""
        import difflib  # 2 ms, only for a name that fits nothing

        forms = [f"{endpoint.name}/{model}" for endpoint, model in self._offers.known()]
        models = [model for _, model in self._offers.known()]
        names = [*self._settings.aliases, *self._settings.routes, *forms, *models]
        close = difflib.get_close_matches(name, list(dict.fromkeys(names)), n=3, cutoff=0.6)
        said = f"Did you mean {' or '.join(close)}?" if close else f"There are {_listed(forms)}." if forms else ""
        return " ".join(filter(None, (said, self._offers.silence()))) or None


def _limited(candidate: Candidate, entry: ChainEntry) -> Candidate:
    return candidate._replace(timeout_s=entry.timeout_s, max_tokens=entry.max_tokens, retries=entry.retries)


def _may_cost(endpoint: Endpoint) -> bool:
    """Whether an answer there is likely to be paid by the token: somebody else's service without a price of zero."""
    return not endpoint.is_own and endpoint.price_output != 0


def _listed(names: Iterable[str], most: int = 8) -> str:
    names = list(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
