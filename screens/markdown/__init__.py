"""One message's Markdown as styled lines, while it arrives.

    rendering = Rendering(width, palette)
    rendering.feed(delta)            # any number of times
    rendering.lines                  # what to show so far
    rendering.close()                # the text is complete

Nothing here knows of widgets, and nothing of the text reaches a line unless it is harmless on a terminal. The lines
depend on the text, the width and the palette alone, never on how the text was cut into deltas, and take time linear in
its length whatever it holds. Begin reading in `rendering.py` and `reading.py`; `inline.py` reads the inside of a
paragraph.
"""

from typing import TYPE_CHECKING

from screens.markdown.lines import CodeBlock, Line

if TYPE_CHECKING:
    from screens.markdown.raw import raw_lines
    from screens.markdown.rendering import Rendering, render
else:

    def __getattr__(name: str) -> object:
        """What renders is loaded with the first message: the first frame of the app has none."""
        if name not in ("Rendering", "raw_lines", "render"):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from screens.markdown.raw import raw_lines
        from screens.markdown.rendering import Rendering, render

        globals().update(Rendering=Rendering, raw_lines=raw_lines, render=render)
        return globals()[name]


__all__ = ["CodeBlock", "Line", "Rendering", "raw_lines", "render"]
