"""One module per command word. Each has `add_arguments(parser)` and `run(arguments) -> int`.

A module here may import only the standard library's light parts at its top: it is loaded to print help. What it needs
to do its work is imported in `run`.
"""
