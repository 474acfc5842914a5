"""The program without a display: conversations, machines, money, history and the command line.

Screens, headless calls and the gateway are three faces of what lives here. This package never draws and never
imports Textual. `runtime.py` builds and closes every service; everything else gets what it needs in its constructor.
Begin reading with `cli.py`, then `runtime.py`, then `chat/conversation.py`.
"""

__version__ = "0.1.0"
