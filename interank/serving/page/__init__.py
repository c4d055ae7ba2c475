"""The page at `/`: a form in the browser that ranks by the server it came from."""

from interank.serving.page.document import Page, page

__all__ = ["Page", "page"]
