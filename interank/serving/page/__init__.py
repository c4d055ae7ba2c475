"""The page at `/`: a form that ranks documents with its own server."""

from interank.serving.page.document import Page, page

__all__ = ["Page", "page"]
