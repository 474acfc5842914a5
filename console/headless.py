"""`hawser --prompt`: one answer to stdout, and nothing else there.

The contract is in docs/headless.md. In short: stdout is the answer, byte for byte; stderr is everything else; once
output has begun an answer never restarts, so a break then is a failure with the partial answer kept.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import select
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from console.errors import ConsoleError, NoUsableAnswer, TimeLimit, UsageError, explain
from console.shell import SCHEMA, Shell
from console.standard_input import Mode, read_instruction, read_material
from console.text import escape_controls, neutralise

if TYPE_CHECKING:
    from console.chat.conversation import Conversation, OngoingTurn
    from console.chat.turn import Answer, Turn
    from console.history.among import Among
    from console.history.chats import Chat
    from console.history.sources import Source
    from console.runtime import Runtime
    from providers.chat.base import Delta


def run(options: argparse.Namespace, shell: Shell) -> int:
    if options.json and options.jsonl:
        raise UsageError("--json and --jsonl exclude each other.")
    prompt = _Prompt(options, shell)
    try:
        prompt.read()
        return asyncio.run(prompt.run())
    except BrokenPipeError:
        raise
    except BaseException as error:
        prompt.tell_early(error)
        raise


def _read_schema(name: str | None) -> dict[str, Any] | None:
    if name is None:
        return None
    try:
        schema = json.loads(Path(name).read_bytes())
    except OSError as error:
        raise UsageError(f"The schema {name!r} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise UsageError(f"The schema {name!r} is not JSON: {error}.") from error
    from console.chat.schemas import check_schema

    return check_schema(schema, name)


class _Output:
    """stdout as bytes, each piece written when it comes."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._is_terminal = shell.stdout.isatty()
        self._descriptor: int | None
        try:
            self._descriptor = shell.stdout.fileno()
        except (OSError, ValueError):  # a stream without a descriptor, as tests and the demo use
            self._descriptor = None
        self.last = ""

    def answer(self, text: str) -> None:
        """A piece of the answer: exact, unless a terminal would act on what is in it."""
        self.last = text or self.last
        self.raw(neutralise(text) if self._is_terminal else text)

    def raw(self, text: str) -> None:
        if self._descriptor is None:
            self._shell.stdout.write(text)
            self._shell.stdout.flush()
            return
        content = memoryview(text.encode("utf-8", "replace"))
        while content:
            try:
                content = content[os.write(self._descriptor, content) :]
            except BlockingIOError:  # whoever made the pipe set it so, and reads more slowly than the answer comes
                select.select([], [self._descriptor], [])
            except BrokenPipeError:
                raise
            except OSError as error:
                raise ConsoleError(f"Standard output cannot be written: {error.strerror or error}.") from error

    def line(self, document: Mapping[str, Any]) -> None:
        # What JSON lets through as it is, a terminal may still act on.
        self.raw(escape_controls(json.dumps(document, ensure_ascii=self._is_terminal, default=_plain)) + "\n")

    def end(self) -> None:
        if self._is_terminal and self.last and not self.last.endswith("\n"):
            self.raw("\n")
        self.last = ""


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


class _Prompt:
    """One headless call, from the options to the exit code."""

    def __init__(self, options: argparse.Namespace, shell: Shell) -> None:
        self.options = options
        self.shell = shell
        self.instruction = ""
        self.material: str | None = None
        self.stdin_outcome = "none"
        self.schema: dict[str, Any] | None = None
        self.output = _Output(shell)
        self.streams_text = not (options.json or options.jsonl or options.extract or options.schema)
        self.thinking_open = False
        self.earlier: Answer | None = None
        """A first answer that did not match the schema."""
        self.machine: str | None = None
        """Where the answer came from, if it came from a machine."""
        self.has_told = False
        self.told_sources = False
        self.found_json = ""

    def read(self) -> None:
        """Everything that can be known before somebody is asked: whether the words make sense, and what is piped in."""
        options = self.options
        if options.prompt is None and options.template is None:
            raise UsageError("There is no prompt.", hint='Give one with: hawser --prompt "…"')
        if options.continued and options.chat:
            raise UsageError("--continue and --chat exclude each other.", hint="--chat ID already continues that chat.")
        if options.extract and options.schema:
            raise UsageError(
                "--extract and --schema exclude each other.", hint="--schema already prints only the JSON."
            )
        self.schema = _read_schema(options.schema)
        for number in _ENDS:  # for as long as standard input is waited for
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, signal.default_int_handler)
        mode: Mode = options.stdin
        if options.prompt == "-":
            self.instruction, self.stdin_outcome = read_instruction(self.shell), "read"
        else:
            self.instruction = options.prompt or ""
            self.material, self.stdin_outcome = read_material(self.shell, mode)
        if not self.instruction.strip() and not self.material and not options.template:
            raise UsageError("The prompt is empty.")

    async def run(self) -> int:
        _stop_on_signals()
        try:
            async with asyncio.timeout(self.options.timeout) as limit, self.shell.runtime() as runtime:
                runtime.ready = runtime.wake if self.options.wake else runtime.only_if_on
                conversation = await runtime.conversation()
                turn = await self._turn(conversation)
                try:
                    return await self._ask(conversation.ask(turn, is_overdue=limit.expired), turn, limit.expired)
                finally:
                    if not limit.expired():
                        limit.reschedule(None)  # the answer has its limit; the machine is not left on for it
                    await self._after(runtime)
        except TimeoutError as error:
            raise self._too_late() from error

    async def _turn(self, conversation: Conversation) -> Turn:
        from console.chat.turn import Turn

        options = self.options
        instruction, system, model = self.instruction, options.system, options.model
        params: dict[str, Any] = {}
        if options.template is not None:
            from console.chat.templates import fill

            filled = fill(self.shell.paths.templates, options.template, dict(options.var), instruction or None)
            instruction = filled.prompt
            system = system if system is not None else filled.system
            model = model or filled.model
            params |= filled.params
        elif options.var:
            raise UsageError("--var gives a value to a template, and there is none.", hint="Name one with --template.")
        params |= {name: _value(text) for name, text in options.param}
        attachments = []
        if options.attach:
            from console.chat.attachments import read_attachment

            attachments = [await asyncio.to_thread(read_attachment, Path(name)) for name in options.attach]
            for attachment in attachments:
                for note in attachment.notes:
                    self._notice(note)
        chat = None
        if options.chat:
            chat = await conversation.find_chat(options.chat)
        elif options.continued:
            chat = await conversation.latest_chat()
            if chat is None:
                self.shell.note("hawser: There is no chat to continue; this begins one.")
        among = await self._among(conversation, chat)
        return Turn(
            text=instruction,
            material=self.material,
            attachments=tuple(attachments),
            chat=chat,
            model=model,
            system=system,
            params=params,
            schema=self.schema,
            max_tokens=options.max_tokens,
            thinking=False if options.thinking == "none" else None,
            max_cost_usd=options.max_cost,
            allow_unknown_price=options.allow_unknown_price,
            allow_fallback=not options.no_fallback,
            save=not options.no_save,
            client="prompt",
            after_break="fail",
            collections=among.collections,
            documents=among.documents,
        )

    async def _among(self, conversation: Conversation, chat: Chat | None) -> Among:
        """The documents that are asked: those that are named, else those that the chat asks."""
        from console.history.among import NO_DOCUMENTS, Among

        if not self.options.rag:
            return chat.among if chat is not None else NO_DOCUMENTS
        assert conversation.library is not None
        library = conversation.library()
        found = [(await library.collection(name)).name for name in self.options.rag]
        among = Among(tuple(dict.fromkeys(found)))
        if chat is not None and chat.among != among and not self.options.no_save:
            await conversation.store.set_among(chat.id, among)
        return among

    async def _after(self, runtime: Runtime) -> None:
        """See to the machine that answered: end it if that was asked for, else say if it stays on because of this."""
        machine = self.machine or next(iter(runtime.woken), None)
        if machine is None:
            return
        from console.machines.afterwards import end, stays_on

        if self.options.then == "stop":
            await end(runtime, machine, self._notice)
        elif self.options.then is None and machine in runtime.woken:
            await stays_on(runtime, machine, self._notice)

    def _too_late(self) -> TimeLimit:
        return TimeLimit(
            f"The answer was not complete after {self.options.timeout:g} s.",
            hint="What had come is kept; --timeout sets the limit.",
        )

    async def _ask(self, ongoing: OngoingTurn, turn: Turn, is_overdue: Callable[[], bool]) -> int:
        error: BaseException | None = None
        try:
            await self._follow(ongoing)
            if self.schema is not None and (fault := self._fault(ongoing)) is not None:
                ongoing = self._once_more(ongoing, turn, fault)
                await self._follow(ongoing)
                if (fault := self._fault(ongoing)) is not None:
                    error = NoUsableAnswer(
                        f"The answer does not match the schema: {fault}.", hint="It is kept in the history."
                    )
        except BrokenPipeError:
            return 0  # the reader has what it wanted; the answer so far is kept
        except asyncio.CancelledError as caught:
            error = self._too_late() if is_overdue() else caught
        except BaseException as caught:  # noqa: BLE001 - passed on below, once the partial answer has been told
            error = caught
        answer = ongoing.answer()
        self.machine = answer.machine
        try:
            return self._report(answer.after(self.earlier) if self.earlier else answer, error)
        except BrokenPipeError:
            return 0

    async def _follow(self, ongoing: OngoingTurn) -> None:
        from console.chat.attempts import Notice
        from providers.chat.base import Delta

        async with aclosing(ongoing.events()) as events:
            async for event in events:
                if isinstance(event, Delta):
                    self._tell_sources(ongoing.sources)
                    self._show(event)
                elif isinstance(event, Notice):
                    self._notice(event.text)
        self._end_thinking()

    def _tell_sources(self, sources: Sequence[Source]) -> None:
        """Once, before the first piece of the answer."""
        if self.told_sources or not sources:
            return
        self.told_sources = True
        if self.options.jsonl:
            for source in sources:
                self.output.line({"type": "source", **source.document_form()})

    def _list_sources(self, answer: Answer) -> None:
        """Under a plain answer, where it is no part of it: on stderr."""
        if not answer.sources or self.options.json or self.options.jsonl:
            return
        from console.chat.export import cited

        self.shell.note("Sources:")
        for source in answer.sources:
            self.shell.note(f"  {cited(source)}")

    def _show(self, delta: Delta) -> None:
        if delta.thinking:
            if self.options.thinking == "stderr" and not self.options.json:
                self.shell.mutter(neutralise(delta.thinking))
                self.thinking_open = True
            elif self.options.thinking == "json" and self.options.jsonl:
                self.output.line({"type": "thinking", "text": delta.thinking})
        if delta.text:
            self._end_thinking()
            if self.options.jsonl:
                self.output.line({"type": "delta", "text": delta.text})
            elif self.streams_text:
                self.output.answer(delta.text)

    def _end_thinking(self) -> None:
        if self.thinking_open:
            self.shell.mutter("\n\n")
            self.thinking_open = False

    def _notice(self, text: str) -> None:
        self._end_thinking()
        if self.options.jsonl:
            self.output.line({"type": "status", "text": text})
        self.shell.note(f"hawser: {text}")

    def _fault(self, ongoing: OngoingTurn) -> str | None:
        """What keeps an answer from satisfying the schema."""
        from console.chat.schemas import find_fault

        assert self.schema is not None
        self.found_json, fault = find_fault(self.schema, ongoing.text)
        return fault

    def _once_more(self, ongoing: OngoingTurn, turn: Turn, fault: str) -> OngoingTurn:
        """The same question again, with the fault told to the model and what is left of the cap on the cost."""
        self._notice(f"The answer does not match the schema ({fault}); asking once more.")
        self.earlier = ongoing.answer()
        if turn.max_cost_usd is not None:
            turn = turn._replace(max_cost_usd=max(turn.max_cost_usd - (self.earlier.cost_usd or 0), Decimal(0)))
        return ongoing.follow_up(
            turn, f"Your answer does not match the JSON schema: {fault}. Answer again with the corrected JSON only."
        )

    def _report(self, answer: Answer, error: BaseException | None) -> int:
        """Write what is still to be written, then raise what went wrong, if anything did."""
        self._end_thinking()
        self.output.end()
        if error is None and answer.finish == "refused":
            error = NoUsableAnswer("The model refused to answer.", hint="What it said is kept in the history.")
        elif error is None and answer.finish == "length":
            self._notice("The answer was cut at its limit of tokens; --max-tokens sets one.")
        block = None
        if self.options.extract and error is None:
            from console.chat.blocks import first_code_block

            block = first_code_block(answer.text)
            if block is None:
                error = NoUsableAnswer("The answer holds no code block.", hint="It is kept in the history.")
        if self.options.json or self.options.jsonl:
            text = self.found_json if self.schema is not None and error is None else answer.text
            document = self._document(answer, text if block is None else block, error)
            self.has_told = True
            self.output.line({"type": "end", **document} if self.options.jsonl else document)
        elif block is not None:
            self.output.answer(block)
        elif self.schema is not None and error is None:
            self.output.answer(self.found_json)
        self.output.end()
        if answer.text:
            self._list_sources(answer)
        if error is not None:
            raise error
        if self.options.verbose:
            self.shell.note(answer.summary())
        return 0

    def tell_early(self, error: BaseException) -> None:
        """The object of a call that failed before it had an answer to tell of."""
        if self.has_told or not (self.options.json or self.options.jsonl):
            return
        from console.chat.turn import NO_ANSWER

        document = self._document(NO_ANSWER, "", error)
        self.has_told = True
        self.output.line({"type": "end", **document} if self.options.jsonl else document)

    def _document(self, answer: Answer, text: str, error: BaseException | None) -> dict[str, Any]:
        document = {"schema": SCHEMA, **answer.document(), "text": text, "stdin": self.stdin_outcome}
        if self.options.thinking != "json":
            document["thinking"] = None
        if error is not None:
            document["finish"] = (
                "stopped" if isinstance(error, (KeyboardInterrupt, asyncio.CancelledError)) else "failed"
            )
            document["error"] = explain(error).text
        return document


def _value(text: str) -> Any:
    """A parameter as JSON where it is JSON (0.2, true, [1]), else as the text it is."""
    try:
        return json.loads(text)
    except ValueError:
        return text


_ENDS = (signal.SIGTERM, signal.SIGHUP)
"""What ends a call like Ctrl+C does, partial answer kept and exit code 130: a kill, and the closing of its terminal."""


def _stop_on_signals() -> None:
    task = asyncio.current_task()
    assert task is not None
    for number in _ENDS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
