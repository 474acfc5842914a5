"""Adapters to the places where machines are rented, behind one protocol (`base.py`)."""
