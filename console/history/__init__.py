"""What was said and spent, kept in SQLite. `store.py` is the only door to `hawser.db`."""
