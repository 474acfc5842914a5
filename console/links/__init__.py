"""Links: one SSH connection per machine, the tunnels and commands that go over it, and what processes share of them.

asyncssh is imported inside functions only, for it takes longer than all the rest of a prompt. A private key is never
in a value, a log line or an error. Begin reading at `link.py`, the connection that stays.
"""
