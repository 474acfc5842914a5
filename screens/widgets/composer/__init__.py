"""Where a question is written: the text, the chips above it, and the lists that help while typing.

Begin with `composer.py`. It is given what it needs as values and small calls; what it has to say comes as messages.
"""

from __future__ import annotations

from screens.widgets.composer.commands import Command
from screens.widgets.composer.composer import Composer

__all__ = ["Command", "Composer"]
