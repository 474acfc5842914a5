"""A page of the web as a document."""

from __future__ import annotations

from typing import TYPE_CHECKING

from console.aside import aside

if TYPE_CHECKING:
    from rag.readers import DocumentText


def is_page(path: str) -> bool:
    return path.lower().startswith(("http://", "https://"))


async def fetched(url: str, longest: int) -> tuple[DocumentText, str]:
    """Its text, and the address it was found at."""
    from providers.page import fetch_page
    from rag.readers import document_text

    page = await fetch_page(url, longest)
    return await aside(lambda: document_text(page.name, page.content), "read a page"), page.url
