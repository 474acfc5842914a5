"""Machines: what runs on them and what becomes of them.

Nothing here talks to a cloud or opens a connection by itself: clouds are in `providers/clouds/`, connections in
`console/links/`. Begin reading at `services.py`, the one table of what a machine offers.
"""
