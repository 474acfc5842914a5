"""Everything that is drawn, and the only package that may import Textual.

A screen calls one method of a console service and shows what comes back; it does no I/O of its own.
"""
