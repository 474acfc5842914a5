"""Which kind of model a prompt wants: code, general or quick. Plain rules, no model, and it can say why.

Two questions, in this order. Is it about programming? Its form speaks (a fence, a traceback, lines of code, shell
commands), or its words do: some belong to programming alone, those that it shares with the rest of the world (python,
function, branch) count less, and a wish for a story, a letter or a toast counts against. Else: is it small enough that
any model answers well (a fact, a sum, a translation, a greeting)? What is neither is general. A long prompt is judged
by its two ends, so that the time does not grow with its length.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Container
from typing import Literal, NamedTuple, TypeAlias

Kind: TypeAlias = Literal["code", "general", "quick"]
KINDS: tuple[Kind, ...] = ("code", "general", "quick")

_HEAD, _TAIL = 1600, 800
_ENOUGH = 2.0
"""What the signs of programming must weigh together."""
_SHORT = 24
"""Words of a question that a quick model may answer."""

# Pieces of text that are hardly there unless it is code; each weighs enough alone.
_PIECES = {
    "a code block": ("```", "~~~"),
    "a traceback": ("traceback (most recent call last)", "\n\tat ", "\n    at ", "panicked at"),
    "an error message": (
        "error:", "segmentation fault", "core dumped", "undefined reference", "command not found", "syntax error",
        "permission denied", "merge conflict", "exit code", "stack trace",
    ),
    "lines of code": (
        "#include", "#!/", "</", "/>", "=> {", ") {", "){", "};", "):\n", " == ", " != ", " && ", " := ", "std::",
        "console.log", "public static",
    ),
    "an SQL statement": ("insert into", "create table", "alter table", "select * from", "group by"),
    "a shell command": ("sudo ", "apt-get", "pip install", "npm install", "curl -", "$(", "${", "| grep"),
    "words of programming": (
        "unit test", "linked list", "binary search", "binary tree", "data structure", "big o", "for loop", "while loop",
        "null pointer", "pull request", "merge request", "source code", "command line", "stack overflow", "memory leak",
        "race condition", "type hint", "foreign key", "primary key", "hello world", "web app", "web server", "rest api",
        "environment variable", "virtual environment", "regular expression", "off by one", "data frame", "test suite",
        "dependency injection", "error handling", "exception handling", "design pattern", "thread-safe",
        "object-oriented", "time complexity",
        "代码", "函数", "脚本", "编程", "コード", "関数", "スクリプト", "코드", "함수",
    ),
}  # fmt: skip

# The same for what has no fixed spelling, on the text with its capitals.
_PATTERNS = {
    "names as code has them": r"\b[a-z]+(?:_[a-z0-9]+)+\b|\b[a-z]{2,}[A-Z][a-z]\w*",
    "calls of functions": r"""\b[A-Za-z_]\w*\((?:\)|[^()\s]*[,='"\[\]][^()]*\))""",
    "names of source files": (
        r"\b[\w-]+\.(?:py|jsx?|tsx?|java|rs|go|rb|php|cpp|hpp|cs|sh|sql|html|css|json|ya?ml|toml|ipynb|kt|vue|tf)\b"
    ),
    "the name of an error": r"\b[A-Z]\w+(?:Error|Exception)\b|\berror\[\w+\]|\bCONFLICT \(",
    "an SQL statement": r"\bSELECT\b[^?]{1,300}\bFROM\b",
    "a shell command": (r"(?m)^\s*\$ \w|(?<=\s)--[a-z][\w-]+|(?<=\s)-[a-zA-Z]{1,3}(?=\s)|\bfor \w+ in [^\n]*; *do\b"),
    "lines of code": (
        r"(?m)^\s*(?:async )?(?:def|func|fn|class|function)\s+\w+\s*[(<{]|^\s*(?:let|const|var)\s+\w+\s*="
        r"|^from [\w.]+ import\b|^\s*[A-Za-z_][\w.]* ?[+-]?= ?(?:[\[{(\"']|\w+\()"
        r"|\b(?:while|if|for|switch|catch) \(\w|\w [-+*/]= \w|\w\[\w*\]"
    ),
    "words of programming": (
        r"\b(?:last|previous|latest|this|that|a|the|my|each|every) commits?\b"
        r"|\b(?i:write|implement|build|code|create|make|fix|add|need|want)(?: \w+){0,3} "
        r"(?:function|program|script|method|class|subroutine|parser|compiler|app|bot|query|loop|decorator|crawler|scraper"
        r"|endpoint|unit tests?|api|component|macro|hook|migration|plugin|daemon|wrapper|module|stored procedure)\b"
    ),
    "a piece of code": r"`[^`\n]+`",
}

_SURE = (
    "regex regexp sql sqlite mysql postgres postgresql mongodb javascript typescript js ts tsx jsx golang c++ c# cpp "
    "php kotlin html css scss json yaml toml xml csv grpc graphql api apis cli sdk npm npx pip venv pytest jest junit "
    "docker dockerfile kubernetes kubectl helm terraform ansible nginx webpack makefile cmake gcc gdb cargo rustc "
    "bash zsh powershell awk sed grep cron crontab systemd ssh git github gitlab numpy pandas pytorch tensorflow "
    "django flask fastapi react vue angular node.js nodejs haskell elixir clojure perl fortran cobol async await "
    "mutex semaphore segfault stacktrace backtrace refactor refactoring debug debugger linter compiler subclass "
    "dataclass struct enum iterator hashmap const def typedef nullptr println vim neovim emacs tmux vscode jupyter "
    "stdin stdout stderr localhost middleware boolean varchar elif printf malloc argv kwargs tsconfig unittest "
    "codebase bash-skript quellcode программу скрипт функцию"
)
_SHARED = (
    "code coding python java rust ruby scala lua script scripts function functions array arrays variable variables "
    "loop loops pointer pointers algorithm recursion recursive iterative parse parser compile compiles server "
    "database query queries schema endpoint repo repository deploy linux unix cache integer vba website frontend "
    "backend null undefined int bool programmer programming funzione função tables implement implementation quicksort "
    "mergesort heapsort fibonacci palindrome stack heap tuple dictionary dict dictionaries matrix cli oop crud orm "
    "tcp udp dns vm wasm ide latex backend login auth oauth jwt websocket socket sockets serialize serialise unicode "
    "utf-8 ascii base64 checksum logging timestamp skript funktion datei dateien fonction fichier función archivo"
)
_EVERYDAY = (
    "class classes object objects method methods type types string strings list lists sort sorted sorting thread "
    "threads module package library import branch commit merge rebase push pull client table index request response "
    "bug bugs crash crashes error errors exception build builds container image test tests testing file files folder "
    "folders directory path line lines column row rows key token hook component interface event handler framework "
    "flag argument parameter return returns byte bytes binary hash port terminal kernel driver app ci version "
    "versions variable data input output program programs software swift shell shop klasse programm fehler clase "
    "classe"
)
_PROSE = (
    "story stories poem poetry haiku limerick sonnet essay speech toast novel lyrics song letter email e-mail mail "
    "article blog biography tale eulogy recipe feedback paragraph geschichte gedicht aufsatz brief rede histoire "
    "poème lettre discours cuento historia poema carta ensayo racconto poesia lettera"
)
_OPEN = (
    "why explain describe discuss compare contrast analyse analyze evaluate argue summarise summarize summary outline "
    "plan write draft compose rewrite rephrase improve review critique brainstorm suggest suggestions propose "
    "recommend advise advice help ideas pros cons advantages disadvantages consider strategy convince persuade feel "
    "think opinion difference differences implications consequences causes reasons detail detailed tell imagine "
    "design create give makes should could would best good better way ways tips ethical moral avantages inconvénients "
    "différence conséquences vorteile nachteile unterschied ventajas desventajas diferencia warum erkläre beschreibe "
    "schreibe schreib vergleiche erzähle pourquoi explique explique-moi expliquez décris écris rédige raconte explica "
    "describe escribe compara cuéntame perché spiega descrivi scrivi почему объясни опиши напиши сравни расскажи "
    "waarom schrijf"
)
_FACT = (
    "what what's whats who who's whose whom when where which is are was were does did do can has have how wer wann wo "
    "welche welcher welches wie wieviel ist sind hat qui quand où quel quelle quels quelles combien est quién cuándo "
    "dónde cuál cuáles cuánto cuántos cuánta cuántas qué chi quando dove quale quanto quanti cosa кто что где когда "
    "какой какая сколько wat waar wanneer quem qual onde quantos"
)
_SMALL = (
    "translate translation convert define definition meaning synonym synonyms antonym antonyms spell spelling "
    "pronounce plural abbreviation acronym calculate rhyme rhymes übersetze übersetzen traduis traduire traduce "
    "traducir traduci переведи"
)
# Half a sign: "in Go", "en Python", where the word alone may be a verb or a snake.
_TONGUE = (
    r"\b(?:in|using|with|en|mit|em) (?:Python|Rust|Go|Java|C|R|Ruby|Swift|Scala|Lua|Julia|Zig|Dart)\b"
    r"|\b(?i:écris|schreibe?|escribe|scrivi|escreva)(?: \w+){0,2} "
    r"(?:fonction|funktion|skript|programm|función|funzione|função)\b"
    r"|\bthis (?:function|script|code|query|program|method|loop|snippet|module)\b"
)
_SELF = "i i'm i've my me we our us ich mein mir wir je j'ai mon ma nous yo mi nosotros io mio я мой мне"
# How something is done, not how much of it there is.
_HOW = (
    r"\bhow (?!(?:many|much|old|tall|far|long|big|high|deep|fast|often|late|heavy|wide|large|hot|cold|do you)\b)"
    r"|\bhow do you (?!say|spell|pronounce|write)"
    r"|^wie (?!(?:viel|viele|alt|hoch|lang|lange|weit|groß|spät|heißt|oft|schnell|schwer|sagt|schreibt)\b)"
    r"|^comment (?!dit-on|s['’]|on dit)|^¿?cómo (?!se (?:dice|llama|escribe))|^как (?!называется|зовут)"
)

_OPEN_SIGNS = ("为什么", "如何", "文章", "解释", "写一", "分析", "比较", "なぜ", "説明", "書いて", "설명", "왜")
_FACT_SIGNS = (
    "什么",
    "多少",
    "几",
    "谁",
    "哪",
    "吗",
    "何",
    "誰",
    "どこ",
    "いつ",
    "いくつ",
    "ですか",
    "무엇",
    "누구",
    "어디",
)


class Verdict(NamedTuple):
    kind: Kind
    reasons: tuple[str, ...]
    """What spoke for it, in words that go behind "because the prompt"."""


def split_marker(prompt: str, routes: Container[str] = KINDS) -> tuple[str | None, str]:
    """`@code fix this` → ("code", "fix this"); (None, prompt) unless it begins with `@` and the name of a route."""
    if not prompt.startswith("@") or prompt[1:2].isspace():
        return None, prompt
    word = prompt.split(None, 1)[0][1:]
    if word not in routes:
        return None, prompt
    # What follows on lines of its own keeps its indentation.
    return word, prompt[len(word) + 1 :].lstrip(" \t").removeprefix("\r").removeprefix("\n")


def classify(prompt: str) -> Verdict:
    """The kind of a prompt, and why."""
    marked, _ = split_marker(prompt)
    for kind in KINDS:
        if marked == kind:
            return Verdict(kind, (f"asks for it with @{kind}",))
    rules = _rules()
    is_long = len(prompt) > _HEAD + _TAIL
    text = f"{prompt[:_HEAD]}\n{prompt[-_TAIL:]}" if is_long else prompt
    if "://" in text:
        text = rules.address.sub(" ", text)
    low = text.lower()
    words = rules.word.findall(low)
    reasons = _signs_of_code(rules, text, low, words)
    if reasons:
        return Verdict("code", reasons)
    if is_long or len(words) > _SHORT or len(low) > 200:
        return Verdict("general", ("is no small question",))
    return _small_or_not(rules, low, words)


class _Rules:
    """The word lists as sets and the patterns compiled: half a millisecond that only a prompt to classify pays."""

    def __init__(self) -> None:
        self.word = re.compile(r"[^\W_]+(?:['’.\-][^\W_]+|\+\+|#)*")
        self.address = re.compile(r"https?://\S+")
        self.how, self.tongue = re.compile(_HOW), re.compile(_TONGUE)
        self.sum = re.compile(r"(?=.*\d)[\d\s.,+*/×÷^%()=?-]+")
        self.patterns = [(re.compile(pattern), name) for name, pattern in _PATTERNS.items()]
        self.pieces = [(piece, name) for name, pieces in _PIECES.items() for piece in pieces]
        self.sure, self.shared, self.everyday = (frozenset(words.split()) for words in (_SURE, _SHARED, _EVERYDAY))
        self.prose, self.open, self.fact = (frozenset(words.split()) for words in (_PROSE, _OPEN, _FACT))
        self.small, self.self = frozenset(_SMALL.split()), frozenset(_SELF.split())


_rules = functools.cache(_Rules)


def _signs_of_code(rules: _Rules, text: str, low: str, words: list[str]) -> tuple[str, ...]:
    """What says that the prompt is about programming; nothing when it does not weigh enough."""
    forms = [name for piece, name in rules.pieces if piece in low]
    forms += [name for pattern, name in rules.patterns if pattern.search(text)]
    known = frozenset(words)
    sure, shared, everyday = known & rules.sure, known & rules.shared, known & rules.everyday
    half_meant = len(shared) + len(everyday) / 2
    if len(words) > 25 * (len(shared) + len(everyday)):
        half_meant /= 2  # a long text holds such words by chance
    if rules.tongue.search(text):
        half_meant += 1
    weight = 2 * len(forms) + 2 * len(sure) + half_meant
    if known & rules.prose:
        weight -= 2 + half_meant  # a poem about a programmer is a poem
    if weight < _ENOUGH:
        return ()
    reasons = [f"holds {name}" for name in dict.fromkeys(forms)]
    if sure or half_meant >= _ENOUGH or not reasons:
        reasons.append(f"speaks of {_listed(words, sure or shared | everyday)}")
    return tuple(reasons)


def _small_or_not(rules: _Rules, low: str, words: list[str]) -> Verdict:
    known = frozenset(words)
    if rules.sum.fullmatch(low):
        return Verdict("quick", ("is a sum",))
    if words and words[0] in rules.small:
        return Verdict("quick", (f"only asks to {words[0]}" if words[0].isascii() else "is a small task",))
    if known & rules.prose:
        return Verdict("general", (f"asks for a text ({_listed(words, rules.prose)})",))
    if known & rules.open:
        return Verdict("general", (f"asks for thought or length ({_listed(words, rules.open)})",))
    if any(sign in low for sign in _OPEN_SIGNS):
        return Verdict("general", ("asks for thought or length",))
    if known & rules.small:
        return Verdict("quick", (f"is a small task ({_listed(words, rules.small)})",))
    if rules.how.search(low):
        return Verdict("general", ("asks how something is or is done",))
    if (words and words[0] in rules.fact) or any(sign in low for sign in _FACT_SIGNS):
        return Verdict("quick", ("asks for a fact in few words",))
    if len(words) <= 8 and known.isdisjoint(rules.self):
        return Verdict("quick", ("is only a few words",))
    return Verdict("general", ("is neither about code nor a small question",))


def _listed(words: list[str], among: Container[str]) -> str:
    """The first few of the words that are in a list, in the order of the prompt."""
    return ", ".join([word for word in dict.fromkeys(words) if word in among][:4])
