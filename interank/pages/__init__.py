"""Styles, scripts and the display of untrusted text that the project's HTML pages share."""

from interank.pages.parts import RANKING_SCRIPTS, RANKING_STYLES, asset, content_hash, programme, visible

__all__ = ["RANKING_SCRIPTS", "RANKING_STYLES", "asset", "content_hash", "programme", "visible"]
