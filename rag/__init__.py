"""Documents in, passages out. Knows nothing of chats, machines or screens. Begin with `readers.py`."""
