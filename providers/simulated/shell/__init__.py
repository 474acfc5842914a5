"""The built-in shell of a simulated machine: a small sh and its commands over a private folder.

Nothing here runs a program of the real machine or touches a file outside the folder. What this shell does not know it
says so, with sh's exit codes. Begin reading with `run.py`; `syntax.py` reads a script, `commands.py` has the programs.
"""
