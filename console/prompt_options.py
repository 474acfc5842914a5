"""The options of `hawser --prompt`, and the help of the whole program. Light: it is loaded to print help."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from console.arguments import Parser, dollars, name_and_value, new_parser, positive_count, positive_seconds


def make_parser(commands: Mapping[str, str]) -> Parser:
    width = max(map(len, commands))
    words = "\n".join(f"  {word.ljust(width)}  {text}" for word, text in commands.items())
    parser = new_parser(
        "hawser",
        "Chat with models on rented GPUs and hosted services, in a terminal app and from scripts.\n"
        "Without anything else it opens the app; hawser demo opens it on simulated services.",
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.usage = "hawser\n       hawser --prompt TEXT [options]\n       hawser COMMAND …"
    parser.epilog = (
        f"commands (hawser COMMAND --help tells more):\n{words}\n\n"
        "exit codes: 0 done, 2 usage, 3 settings or key, 4 unreachable, 5 time limit, 6 budget,\n"
        "            7 no usable answer, 8 machine state, 130 interrupted"
    )
    add = parser.add_argument
    add("--version", "-V", action="store_true", help="print the version")
    add("--debug", action="store_true", help="with an error, print the traceback too")
    add("-p", "--prompt", metavar="TEXT", help="the instruction; - reads it from standard input")
    add("-m", "--model", metavar="NAME", help="an alias, a route, endpoint/model, or a model that one endpoint has")
    add("-s", "--system", metavar="TEXT", help="the system instruction")
    add("-t", "--template", metavar="NAME", help="a stored template for instruction and prompt")
    add("--var", metavar="K=V", action="append", default=[], type=name_and_value, help="a value for the template")
    add("-a", "--attach", metavar="FILE", action="append", default=[], help="a text, PDF or image file (repeatable)")
    add("-r", "--rag", metavar="COLLECTION", action="append", default=[], help="answer from its documents (repeatable)")
    add("-c", "--continue", dest="continued", action="store_true", help="go on with the latest chat")
    add("--chat", metavar="ID", help="go on with this chat")
    add("--json", action="store_true", help="one JSON object instead of the plain answer")
    add("--jsonl", action="store_true", help="a stream of JSON lines; the last one is the whole answer")
    add("-x", "--extract", action="store_true", help="print only the first code block")
    add("--schema", metavar="FILE", help="a JSON schema that the answer must satisfy; one more try if it does not")
    add("--param", metavar="K=V", action="append", default=[], type=name_and_value, help="a parameter of the model")
    add("--max-tokens", metavar="N", type=positive_count, help="the longest answer")
    add("--timeout", metavar="S", type=positive_seconds, help="seconds for the whole call")
    add("--max-cost", metavar="USD", type=dollars, help="the most this call may cost")
    add("--allow-unknown-price", action="store_true", help="use a hosted model even if its price is not known")
    add("--no-fallback", action="store_true", help="use only the first of a chain")
    add("--wake", dest="wake", action="store_true", default=True, help="start the machine if it is off (the default)")
    add("--no-wake", dest="wake", action="store_false", help="do not start a machine that is off")
    add("--then", choices=("stop", "keep"), help="what becomes of a machine that was started for this (default: keep)")
    add("--no-save", action="store_true", help="keep the question and answer out of the history")
    add(
        "--thinking",
        choices=("none", "stderr", "json"),
        default="stderr",
        help="where reasoning goes (default: stderr)",
    )
    add("--stdin", dest="stdin", action="store_const", const="wait", default="auto", help="wait for standard input")
    add("--no-stdin", dest="stdin", action="store_const", const="off", help="never read standard input")
    add("-v", "--verbose", action="store_true", help="tell route, tokens, time and cost on stderr")
    return parser
