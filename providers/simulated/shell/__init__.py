"""The built-in shell of a simulated machine: a small sh and its programs over a private folder.

Nothing here runs a program of the real machine or touches a file outside the folder. What this shell does not know it
says so, with sh's exit codes. Begin reading with `run.py`; `syntax.py` reads a script, `programs.py` says what a
program is given, and `commands.py`, `file_commands.py`, `system_commands.py`, `gpu.py` and `network.py`
are the programs.
"""

from __future__ import annotations

from collections.abc import Mapping

from providers.simulated.shell import builtins, commands, file_commands, gpu, network, run, system_commands, testing
from providers.simulated.shell.programs import Program

PROGRAMS: Mapping[str, Program] = {
    **commands.COMMANDS,
    **file_commands.COMMANDS,
    **system_commands.COMMANDS,
    **gpu.COMMANDS,
    **network.COMMANDS,
    "bash": run.sh,
    "sh": run.sh,
    "kill": builtins.kill,
    "test": testing.test,
}
