"""One file for each family of documents, and the process that runs them. `rag/readers.py` is the door to all of it.

What a file is follows from its bytes, then from its name (`kinds.py`). A reader turns bytes into one text with
sections and pages (`layout.py`), which never changes afterwards: everything else points into it by offset.
"""
