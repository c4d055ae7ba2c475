"""Where OpenAI-compatible servers stand, and how they are asked."""

from __future__ import annotations

from pydantic import Field, model_validator

from interank.settings.base import Names, Settings


class ServersRecipe(Settings):
    """One server or several with the same model."""

    urls: Names = ()
    """Base URLs, as `http://host:8000/v1`; URL,URL on the command line."""
    key: str = "OPENAI_API_KEY"
    """The environment variable that holds the key; unset means none is sent."""
    in_flight: int = Field(32, ge=1)
    """Requests under way at a time, over all servers."""
    timeout: float = Field(300.0, gt=0)
    """Seconds until a request is given up and sent again."""
    attempts: int = Field(6, ge=1)
    """How often a request is sent before it is rejected, and how often in a row a server may fail before it is left."""
    longest_wait: float = Field(60.0, gt=0)
    """The most seconds that a server which asks to wait, or fails, is left alone."""

    @model_validator(mode="after")
    def _urls_are_urls(self) -> ServersRecipe:
        wrong = [url for url in self.urls if not url.startswith(("http://", "https://"))]
        if wrong:
            raise ValueError(
                f"urls: {wrong[0]!r} is no address of a server; write it like http://HOST:PORT/v1 or https://HOST/v1"
            )
        if len(set(self.urls)) < len(self.urls):
            raise ValueError("urls: one stands there twice; give each server once")
        return self
