"""What the project's pages have in common: looks, programmes, and how untrusted text is shown."""

from interank.pages.parts import asset, content_hash, programme, visible

__all__ = ["asset", "content_hash", "programme", "visible"]
