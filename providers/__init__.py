"""Adapters to the outside world, behind small protocols, and their simulated twins.

Knows nothing of the rest of the program: no settings file, no store, no screens. Begin with `chat/base.py` (what a
chat service is), `errors.py` (what can go wrong) and `registry.py` (how an adapter is found by name).
"""
