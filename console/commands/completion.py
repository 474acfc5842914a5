"""`hawser completion SHELL`: a script for the shell. Its names come from settings and store, never the network."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from console.shell import Shell

HELP = "Print a completion script for your shell."

_INSTALL = {
    "bash": '# Put this line into ~/.bashrc:  eval "$(hawser completion bash)"',
    "zsh": '# Put this line into ~/.zshrc:  eval "$(hawser completion zsh)"',
    "fish": "# Save as:  hawser completion fish > ~/.config/fish/completions/hawser.fish",
}

_BASH = r"""
_hawser() {
    local word
    COMPREPLY=()
    while IFS= read -r word; do
        COMPREPLY+=("$word")
    done < <(hawser completion words -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
    if [ ${#COMPREPLY[@]} -eq 1 ] && [ "${COMPREPLY[0]}" = ":files" ]; then
        COMPREPLY=()
        compopt -o default 2>/dev/null
    fi
}
COMP_WORDBREAKS=${COMP_WORDBREAKS//:}
complete -F _hawser hawser
"""

_ZSH = r"""
_hawser() {
    local -a found
    found=("${(@f)$(hawser completion words -- "${(@)words[2,$CURRENT]}" 2>/dev/null)}")
    if [[ ${#found} -eq 1 && "$found[1]" == ":files" ]]; then
        _files
    elif [[ -n "$found[1]" ]]; then
        compadd -- "${found[@]}"
    fi
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
compdef _hawser hawser
"""

_FISH = r"""
function __hawser_words
    set -l words (commandline -opc)[2..-1]
    set -l found (hawser completion words -- $words (commandline -ct) 2>/dev/null)
    if test "$found" = ":files"
        __fish_complete_path (commandline -ct)
    else
        printf '%s\n' $found
    end
end
complete -c hawser -f -a '(__hawser_words)'
"""

_SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=(*_SCRIPTS, "words"), help="the shell; words prints what completes a line")
    parser.add_argument("line", nargs="*", metavar="WORD", help="for words, after --: the line so far, last word cut")


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    if arguments.shell == "words":
        from console.completion import complete

        for word in complete(arguments.line, shell):
            shell.say(word)
        return 0
    shell.say(_INSTALL[arguments.shell] + _SCRIPTS[arguments.shell].rstrip())
    return 0
