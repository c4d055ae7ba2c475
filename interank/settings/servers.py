"""Where OpenAI-compatible servers stand, and how they are asked."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from interank.settings.base import Names, Settings

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
# What services' keys begin with; no variable is called so.
_KEYS = ("sk-", "sk_", "hf_", "ghp_", "gsk_", "xai-")


class ServersRecipe(Settings):
    """One server or several with the same model."""

    urls: Names = ()
    """Base URLs, as `http://host:8000/v1`; URL,URL on the command line."""
    key: str = "OPENAI_API_KEY"
    """The environment variable that holds the key; unset means none is sent. A recipe's file may name OPENAI_API_KEY or
    one that begins with INTERANK_; any other has to be named on the command line, as it is sent to `urls`."""
    in_flight: int = Field(32, ge=1)
    """Requests under way at a time, over all servers."""
    timeout: float = Field(300.0, gt=0)
    """Seconds within which the whole answer to a request has to be there, or it is given up and sent again."""
    attempts: int = Field(6, ge=1)
    """How often a request is sent before it is rejected, and how often in a row a server may fail before it is left."""
    longest_wait: float = Field(60.0, gt=0)
    """The most seconds that a server which asks to wait, or fails, is left alone."""

    @field_validator("key")
    @classmethod
    def _key_is_a_variable(cls, key: str) -> str:
        if not _VARIABLE.fullmatch(key) or key.startswith(_KEYS):
            # Not shown: it may be the key itself.
            raise ValueError(
                "what was given is no name of an environment variable; put the key into a variable, as OPENAI_API_KEY, "
                "and give the variable's name"
            )
        return key

    @model_validator(mode="after")
    def _urls_are_urls(self) -> ServersRecipe:
        for number, url in enumerate(self.urls, start=1):
            _check_url(url, number)
        if len(set(self.urls)) < len(self.urls):
            raise ValueError("urls: one stands there twice; give each server once")
        return self


def _check_url(url: str, number: int) -> None:
    """Raise of what is no address, or has a secret in it; where that may stand in any part, none is repeated."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = None, None
    if "@" in url or "?" in url:
        # With a sign missing, or one too many, what is read as the host may be a part of the password.
        is_sure = parts is not None and host and "@" not in url.replace(parts.netloc, "")
        named = f"the address of {host}" if is_sure else "an address"
        raise ValueError(
            f"urls: {named} holds a name, a password or a query, which outputs and logs would tell; take it out, and "
            "put the key into the environment variable that `key` names"
        )
    if (
        parts is None
        or parts.scheme not in ("http", "https")
        or not host
        or "#" in url
        or not url.isprintable()
        or " " in url
    ):
        raise ValueError(
            f"urls: number {number} is no address of a server (not repeated, as it may hold a password); write it "
            "like http://HOST:PORT/v1 or https://HOST/v1"
        )
