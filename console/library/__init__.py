"""What the console adds to `rag`: collections as a person uses them, the worker, watching, and the check of quotes."""
