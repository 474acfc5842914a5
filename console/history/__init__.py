"""What was said and spent, kept in SQLite. `store.py` is the only door to `hawser.db`.

The modules named after nouns (`chats`, `messages`, `books`, `breakers`, `models_seen`, `tunnels`, `search`) hold plain
functions that take a connection; they know nothing of threads, locks or damage, and never begin or end a transaction.
Begin reading with `schema.py`, then `store.py`.
"""
