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

from screens.markdown.lines import CodeBlock, Line
from screens.markdown.raw import raw_lines
from screens.markdown.rendering import Rendering, render

__all__ = ["CodeBlock", "Line", "Rendering", "raw_lines", "render"]
