"""Memory that was freed, given back to the system.

The C library keeps what is freed below anything that is still used, for whoever asks next. After something large that
is not soon to come again, those pages are of more use elsewhere.
"""

from __future__ import annotations


def give_back() -> None:
    """Takes a few milliseconds. Only glibc has this; others are left as they are."""
    import ctypes

    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError):
        return
    trim(0)
