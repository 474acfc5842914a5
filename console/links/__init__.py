"""SSH connections that a person never has to think about.

`identity.py` says who a machine is and how to log in there; begin with it. Nothing here loads asyncssh at import: it
costs 140 ms, which nobody pays who does not want a link.
"""
