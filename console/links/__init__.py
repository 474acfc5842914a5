"""SSH links: the console is connected to machines and stays connected, without anybody having to think about it.

For: one connection per machine, shared by tunnels, commands and file transfer; local ports that stay bound while the
connection below them breaks, moves and comes back; finding out within seconds that a connection is dead.

Never: gives up a link that is wanted, lets a broken stream look like one that ended, listens beyond loopback, connects
to a machine whose host key is not pinned, or loads asyncssh before a link is wanted.

Begin with `link.py` (one machine's connection, looked after) and `links.py` (all of them), then `bridge.py` (one
client's bytes) and `tunnels.py` (the local ports); `ways.py` is what the rest of the program asks for the way to a
service. `identity.py` says who a machine is and how to log in; `leg.py` is a single SSH connection and the question
whether it still answers; `express.py` makes its bytes fast.
"""
