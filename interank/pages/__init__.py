"""What the project's pages have in common: looks, programmes, and how untrusted text is shown."""

from interank.pages.parts import RANKING_SCRIPTS, RANKING_STYLES, asset, content_hash, programme, visible

__all__ = ["RANKING_SCRIPTS", "RANKING_STYLES", "asset", "content_hash", "programme", "visible"]
