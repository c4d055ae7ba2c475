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
        for url in self.urls:
            _check_url(url)
        if len(set(self.urls)) < len(self.urls):
            raise ValueError("urls: one stands there twice; give each server once")
        return self


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = None, None
    if parts is not None and (parts.username is not None or parts.password is not None or parts.query):
        # Neither is shown: outputs, logs and cards name servers.
        raise ValueError(
            f"urls: the address of {host} holds a name, a password or a query, which outputs and logs would tell; take "
            "it out, and put the key into the environment variable that `key` names"
        )
    if (
        parts is None
        or parts.scheme not in ("http", "https")
        or not host
        or parts.fragment
        or not url.isprintable()
        or " " in url
    ):
        raise ValueError(
            f"urls: {url!r} is no address of a server; write it like http://HOST:PORT/v1 or https://HOST/v1"
        )
