"""Reads a script of the built-in shell into a tree. It is POSIX sh without what `_MISSING` names."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias


class ShellSyntaxError(Exception):
    """The script cannot be read; the message is what sh would say."""


class UnfinishedError(ShellSyntaxError):
    """The script ends in the middle of something; at a prompt, more may follow."""


# words


class Text(NamedTuple):
    text: str
    quoted: bool


class Parameter(NamedTuple):
    name: str
    operator: str
    """What stands between name and operand, `:-` or `%%`; `length` for `${#name}`; empty for the plain value."""
    operand: Word
    quoted: bool


class Substitution(NamedTuple):
    script: Sequence
    quoted: bool


class Arithmetic(NamedTuple):
    expression: Word
    quoted: bool


Part: TypeAlias = "Text | Parameter | Substitution | Arithmetic"
Word: TypeAlias = "tuple[Part, ...]"

# commands; their redirects are lists because the text of a here-document follows only at the end of the line


class Redirect(NamedTuple):
    descriptor: int
    kind: str
    """`<`, `>`, `>>`, `<&`, `>&`, or `<<` with the text of a here-document as target."""
    target: Word


class Simple(NamedTuple):
    assignments: tuple[tuple[str, Word], ...]
    words: tuple[Word, ...]
    redirects: list[Redirect]


class Group(NamedTuple):
    body: Sequence
    is_subshell: bool
    redirects: list[Redirect]


class If(NamedTuple):
    branches: tuple[tuple[Sequence, Sequence], ...]
    otherwise: Sequence | None
    redirects: list[Redirect]


class Loop(NamedTuple):
    condition: Sequence
    is_until: bool
    body: Sequence
    redirects: list[Redirect]


class For(NamedTuple):
    name: str
    words: tuple[Word, ...] | None
    """None for the positional parameters."""
    body: Sequence
    redirects: list[Redirect]


class Case(NamedTuple):
    subject: Word
    branches: tuple[tuple[tuple[Word, ...], Sequence], ...]
    redirects: list[Redirect]


class Function(NamedTuple):
    name: str
    body: Command


Command: TypeAlias = "Simple | Group | If | Loop | For | Case | Function"


class Pipeline(NamedTuple):
    commands: tuple[Command, ...]
    is_negated: bool


class Chain(NamedTuple):
    """Pipelines joined by `&&` and `||`."""

    first: Pipeline
    rest: tuple[tuple[str, Pipeline], ...]


class Sequence(NamedTuple):
    items: tuple[tuple[Chain, bool], ...]
    """Each with whether it runs in the background."""


_MISSING = {"[[": "[[ ]]", "((": "(( ))"} | {word: word for word in ("function", "select", "time", "coproc")}
_RESERVED = frozenset(
    ("if", "then", "elif", "else", "fi", "while", "until", "for", "do", "done", "case", "esac", "in", "{", "}", "!")
)
_META = frozenset(" \t\n;&|()<>")
_SPECIAL = frozenset("?$!#@*-")
_OPERATORS = (":-", ":=", ":+", ":?", "##", "%%", "-", "=", "+", "?", "#", "%")
_DEEPEST = 50


def parse(script: str) -> Sequence:
    """Raises ShellSyntaxError."""
    reader = _Reader(script.replace("\r\n", "\n"))
    tree = reader.sequence(frozenset())
    if reader.more():
        raise reader.unexpected()
    return tree


class _Reader:
    def __init__(self, text: str, depth: int = 0) -> None:
        self._text = text
        self._at = 0
        self._depth = depth
        self._here: list[tuple[list[Redirect], int, str, bool, bool]] = []
        self._ended_by = ""

    # lists

    def sequence(self, ends: frozenset[str]) -> Sequence:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ShellSyntaxError("not in this shell: commands nested that deeply")
        items: list[tuple[Chain, bool]] = []
        while True:
            self._skip_lines()
            if not self.more() or self._stops(ends):
                break
            chain = self._chain()
            self._skip_blanks()
            in_background = self._take("&")
            items.append((chain, in_background))
            if not in_background and not self._is_at(";;"):
                self._take(";")
            self._skip_blanks()
            if self.more() and not self._is_at("\n") and not self._can_follow(ends, in_background):
                raise self.unexpected()
        self._depth -= 1
        return Sequence(tuple(items))

    def _can_follow(self, ends: frozenset[str], in_background: bool) -> bool:
        """Whether the text goes on rightly behind a chain: behind a separator with anything but an operator."""
        before = self._text[: self._at].rstrip(" \t")[-1:]
        return self._stops(ends) or in_background or before == ";"

    def _stops(self, ends: frozenset[str]) -> bool:
        return any(self._is_at(end) if end in (")", ";;") else self._peek_word() == end for end in ends)

    def _chain(self) -> Chain:
        first = self._pipeline()
        rest: list[tuple[str, Pipeline]] = []
        while True:
            self._skip_blanks()
            operator = next((operator for operator in ("&&", "||") if self._take(operator)), None)
            if operator is None:
                return Chain(first, tuple(rest))
            self._skip_lines()
            rest.append((operator, self._pipeline()))

    def _pipeline(self) -> Pipeline:
        self._skip_blanks()
        is_negated = False
        while self._take_word("!"):
            is_negated = not is_negated
        commands = [self._command()]
        while True:
            self._skip_blanks()
            if self._is_at("||") or not self._take("|"):
                return Pipeline(tuple(commands), is_negated)
            if self._is_at("&"):
                raise ShellSyntaxError("not in this shell: |&")
            self._skip_lines()
            commands.append(self._command())

    # commands

    def _command(self) -> Command:
        self._skip_blanks()
        if not self.more():
            raise UnfinishedError("syntax error: unexpected end of file")
        if self._is_at("((") or self._peek_word() in _MISSING:
            raise ShellSyntaxError(f"not in this shell: {_MISSING[self._peek_word() or '((']}")
        if self._take("("):
            body = self._body(")")
            return Group(body, True, self._redirects())
        match self._peek_word():
            case "{":
                self._take_word("{")
                body = self._body("}")
                return Group(body, False, self._redirects())
            case "if":
                return self._if()
            case "while" | "until" as word:
                self._take_word(word)
                condition = self._body("do")
                body = self._body("done")
                return Loop(condition, word == "until", body, self._redirects())
            case "for":
                return self._for()
            case "case":
                return self._case()
            case word if word in _RESERVED:
                raise self.unexpected()
            case word:
                return self._function_or_simple(word)

    def _body(self, *ends: str) -> Sequence:
        """What stands before one of `ends`, which is taken; an empty body is an error, as in sh."""
        body = self.sequence(frozenset(ends))
        if not self.more():
            raise UnfinishedError(f'syntax error: unexpected end of file (expecting "{ends[0]}")')
        if not body.items:
            raise self.unexpected()
        self._ended_by = next(end for end in ends if (self._take(end) if end == ")" else self._take_word(end)))
        return body

    def _if(self) -> If:
        self._take_word("if")
        branches: list[tuple[Sequence, Sequence]] = []
        otherwise = None
        while True:
            condition = self._body("then")
            branches.append((condition, self._body("elif", "else", "fi")))
            if self._ended_by == "else":
                otherwise = self._body("fi")
            if self._ended_by == "fi":
                return If(tuple(branches), otherwise, self._redirects())

    def _for(self) -> For:
        self._take_word("for")
        self._skip_blanks()
        name = self._name()
        if not name:
            raise ShellSyntaxError("syntax error: bad for loop variable")
        words: tuple[Word, ...] | None = None
        self._skip_blanks()
        if self._take_word("in"):
            listed: list[Word] = []
            while word := self._word():
                listed.append(word)
            words = tuple(listed)
        self._skip_blanks()
        self._take(";")
        self._skip_lines()
        if not self._take_word("do"):
            raise self.unexpected()
        body = self._body("done")
        return For(name, words, body, self._redirects())

    def _case(self) -> Case:
        self._take_word("case")
        subject = self._word()
        self._skip_lines()
        if not subject or not self._take_word("in"):
            raise self.unexpected()
        branches: list[tuple[tuple[Word, ...], Sequence]] = []
        while True:
            self._skip_lines()
            if not self.more():
                raise UnfinishedError('syntax error: unexpected end of file (expecting "esac")')
            if self._take_word("esac"):
                return Case(subject, tuple(branches), self._redirects())
            self._take("(")
            patterns = []
            while True:
                pattern = self._word()
                if not pattern:
                    raise self.unexpected()
                patterns.append(pattern)
                self._skip_blanks()
                if self._take(")"):
                    break
                if not self._take("|"):
                    raise self.unexpected()
            branches.append((tuple(patterns), self.sequence(frozenset({";;", "esac"}))))
            self._take(";;")

    def _function_or_simple(self, word: str | None) -> Command:
        if word and word.isidentifier():
            mark = self._at
            self._at += len(word)
            self._skip_blanks()
            if self._take("("):
                self._skip_blanks()
                if not self._take(")"):
                    raise self.unexpected()
                self._skip_lines()
                return Function(word, self._command())
            self._at = mark
        return self._simple()

    def _simple(self) -> Simple:
        assignments: list[tuple[str, Word]] = []
        words: list[Word] = []
        redirects: list[Redirect] = []
        while True:
            self._skip_blanks()
            if self._redirect(redirects):
                continue
            mark = self._at
            name = "" if words else self._name()
            if name and self._take("="):
                if self._is_at("("):
                    raise ShellSyntaxError("not in this shell: arrays")
                assignments.append((name, self._word(may_be_empty=True)))
                continue
            self._at = mark
            word = self._word()
            if not word:
                break
            words.append(word)
        if not (assignments or words or redirects):
            raise self.unexpected()
        return Simple(tuple(assignments), tuple(words), redirects)

    def _redirects(self) -> list[Redirect]:
        redirects: list[Redirect] = []
        while self._skip_blanks() or self._redirect(redirects):
            pass
        return redirects

    def _redirect(self, redirects: list[Redirect]) -> bool:
        mark = self._at
        digits = ""
        while self.more() and self._text[self._at].isdigit():
            digits += self._text[self._at]
            self._at += 1
        if self._is_at("<(") or self._is_at(">("):
            raise ShellSyntaxError(f"not in this shell: {self._text[self._at]}( )")
        if self._is_at("<<<"):
            raise ShellSyntaxError("not in this shell: <<<")
        both = not digits and self._take("&>")
        kinds = ("<<-", "<<", "<&", "<>", "<", ">>", ">&", ">|", ">")
        kind = ">" if both else next((kind for kind in kinds if self._take(kind)), None)
        if kind is None:
            self._at = mark
            return False
        if kind == "<>":
            raise ShellSyntaxError("not in this shell: <>")
        self._skip_blanks()
        begin = self._at
        target = self._word()
        if not target:
            raise self.unexpected()
        descriptor = int(digits) if digits else (0 if kind.startswith("<") else 1)
        if kind.startswith("<<"):
            is_literal = any(isinstance(part, Text) and part.quoted for part in target)
            end = "".join(part.text for part in target if isinstance(part, Text))
            if not is_literal and len(target) != 1:
                end = self._text[begin : self._at]
            self._here.append((redirects, len(redirects), end, is_literal, kind == "<<-"))
            redirects.append(Redirect(descriptor, "<<", ()))
            return True
        redirects.append(Redirect(descriptor, ">" if kind == ">|" else kind, target))
        if both:
            redirects.append(Redirect(2, ">&", (Text("1", False),)))
        return True

    def _read_here_documents(self) -> None:
        waiting, self._here = self._here, []
        for redirects, place, end, is_literal, strips_tabs in waiting:
            lines: list[str] = []
            while True:
                if not self.more():
                    raise UnfinishedError(f'syntax error: here-document without its end "{end}"')
                line, _, _ = self._text[self._at :].partition("\n")
                self._at = min(self._at + len(line) + 1, len(self._text))
                if strips_tabs:
                    line = line.lstrip("\t")
                if line == end:
                    break
                lines.append(line + "\n")
            text = "".join(lines)
            body: Word = (Text(text, True),) if is_literal else _Reader(text, self._depth).here_document()
            redirects[place] = redirects[place]._replace(target=body)

    def here_document(self) -> Word:
        return self._quoted(end="")

    # words

    def _word(self, *, may_be_empty: bool = False, end: str = "") -> Word:
        """The word that begins here; empty when none does. `end` is where the operand of `${…}` stops."""
        if not end and not may_be_empty:
            self._skip_blanks()
        parts: list[Part] = []
        while self.more():
            character = self._text[self._at]
            if end:
                if character == end:
                    break
            elif character in _META:
                break
            self._at += 1
            match character:
                case "\\":
                    if not self._take("\n"):
                        parts.append(Text(self._next(), True))
                case "'":
                    parts.append(Text(self._until("'"), True))
                case '"':
                    parts.append(Text("", True))
                    parts.extend(self._quoted(end='"'))
                case "$":
                    parts.append(self._dollar(quoted=False))
                case "`":
                    parts.append(self._backquoted(quoted=False))
                case _:
                    parts.append(Text(character, False))
        return _joined(parts)

    def _quoted(self, *, end: str) -> Word:
        """What stands between double quotes, or in a here-document when `end` is empty."""
        parts: list[Part] = []
        while True:
            if not self.more():
                if end:
                    raise UnfinishedError("syntax error: Unterminated quoted string")
                return _joined(parts)
            character = self._next()
            if character == end:
                return _joined(parts)
            match character:
                case "\\":
                    following = self._next() if self.more() else ""
                    if following == "\n":
                        continue
                    is_escape = following in '$`"\\' if end else following in "$`\\"
                    parts.append(Text(following if is_escape else "\\" + following, True))
                case "$":
                    parts.append(self._dollar(quoted=True))
                case "`":
                    parts.append(self._backquoted(quoted=True))
                case _:
                    parts.append(Text(character, True))

    def _dollar(self, *, quoted: bool) -> Part:
        if self._take("(("):
            return Arithmetic(self._arithmetic(), quoted)
        if self._take("("):
            script = self.sequence(frozenset({")"}))
            if not self._take(")"):
                raise UnfinishedError('syntax error: unexpected end of file (expecting ")")')
            return Substitution(script, quoted)
        if self._take("{"):
            return self._braced(quoted=quoted)
        if self._is_at("'") and not quoted:
            raise ShellSyntaxError("not in this shell: $' '")
        name = self._parameter_name(one_digit=True)
        return Parameter(name, "", (), quoted) if name else Text("$", quoted)

    def _arithmetic(self) -> Word:
        begin, depth = self._at, 0
        while self.more():
            if depth == 0 and self._is_at("))"):
                expression = self._text[begin : self._at]
                self._at += 2
                return _Reader(expression, self._depth).here_document()
            depth += {"(": 1, ")": -1}.get(self._next(), 0)
        raise UnfinishedError('syntax error: unexpected end of file (expecting "))")')

    def _braced(self, *, quoted: bool) -> Parameter:
        if self._take("#"):
            name = self._parameter_name()
            if name and self._take("}"):
                return Parameter(name, "length", (), quoted)
            if self._take("}"):
                return Parameter("#", "", (), quoted)
            raise ShellSyntaxError("Bad substitution")
        name = self._parameter_name()
        if not name:
            raise ShellSyntaxError("Bad substitution")
        operator = next((operator for operator in _OPERATORS if self._take(operator)), "")
        operand = self._word(end="}") if operator else ()
        if not self._take("}"):
            raise ShellSyntaxError("Bad substitution") if self.more() else UnfinishedError("Unterminated substitution")
        return Parameter(name, operator, operand, quoted)

    def _backquoted(self, *, quoted: bool) -> Substitution:
        script = ""
        while (character := self._next()) != "`":
            if character == "\\" and self.more() and self._text[self._at] in '$`\\"':
                character = self._next()
            script += character
        reader = _Reader(script, self._depth)
        tree = reader.sequence(frozenset())
        if reader.more():
            raise reader.unexpected()
        return Substitution(tree, quoted)

    # characters

    def more(self) -> bool:
        return self._at < len(self._text)

    def unexpected(self) -> ShellSyntaxError:
        rest = self._text[self._at :]
        if not rest:
            return UnfinishedError("syntax error: unexpected end of file")
        if rest[0] == "\n":
            return ShellSyntaxError("syntax error: unexpected newline")
        operator = next((operator for operator in ("&&", "||", ";;") if rest.startswith(operator)), None)
        return ShellSyntaxError(f'syntax error: "{operator or self._peek_word() or rest[0]}" unexpected')

    def _next(self) -> str:
        if not self.more():
            raise UnfinishedError("syntax error: unexpected end of file")
        self._at += 1
        return self._text[self._at - 1]

    def _until(self, end: str) -> str:
        stop = self._text.find(end, self._at)
        if stop < 0:
            raise UnfinishedError("syntax error: Unterminated quoted string")
        text, self._at = self._text[self._at : stop], stop + 1
        return text

    def _is_at(self, text: str) -> bool:
        return self._text.startswith(text, self._at)

    def _take(self, text: str) -> bool:
        if self._is_at(text):
            self._at += len(text)
            return True
        return False

    def _skip_blanks(self) -> bool:
        """Always False, so that it can stand before another condition."""
        while self.more():
            if self._is_at("\\\n"):
                self._at += 2
            elif self._text[self._at] in " \t":
                self._at += 1
            elif self._text[self._at] == "#":
                end = self._text.find("\n", self._at)
                self._at = len(self._text) if end < 0 else end
            else:
                break
        return False

    def _skip_lines(self) -> None:
        self._skip_blanks()
        while self._take("\n"):
            self._read_here_documents()
            self._skip_blanks()
        if self._here and not self.more():
            self._read_here_documents()

    def _peek_word(self) -> str | None:
        """The word that begins here if it is plain, without any quotes or expansions."""
        end = self._at
        while end < len(self._text) and self._text[end] not in _META:
            if self._text[end] in "\\'\"$`":
                return None
            end += 1
        return self._text[self._at : end]

    def _take_word(self, word: str) -> bool:
        self._skip_blanks()
        if self._peek_word() != word:
            return False
        self._at += len(word)
        self._skip_blanks()
        return True

    def _name(self) -> str:
        begin = self._at
        while self.more() and (self._text[self._at].isalnum() or self._text[self._at] == "_"):
            self._at += 1
        name = self._text[begin : self._at]
        if not name.isidentifier():
            self._at = begin
            return ""
        return name

    def _parameter_name(self, *, one_digit: bool = False) -> str:
        if self.more() and self._text[self._at] in _SPECIAL:
            return self._next()
        if self.more() and self._text[self._at].isdigit():
            name = self._next()
            while not one_digit and self.more() and self._text[self._at].isdigit():
                name += self._next()
            return name
        return self._name()


def _joined(parts: list[Part]) -> Word:
    """`parts` with neighbouring text of one kind as one."""
    joined: list[Part] = []
    for part in parts:
        before = joined[-1] if joined else None
        if isinstance(part, Text) and isinstance(before, Text) and part.quoted is before.quoted:
            joined[-1] = Text(before.text + part.text, part.quoted)
        else:
            joined.append(part)
    return tuple(joined)
