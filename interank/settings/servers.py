"""The addresses of OpenAI-compatible servers, and how requests are sent to them."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from interank.settings.base import Names, Settings

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
# The beginnings of services' API keys; no variable has such a name.
_KEYS = ("sk-", "sk_", "hf_", "ghp_", "gsk_", "xai-")


class ServersRecipe(Settings):
    """One server or several with the same model."""

    urls: Names = ()
    """Base URLs, as `http://host:8000/v1`; URL,URL on the command line."""
    key: str = "OPENAI_API_KEY"
    """The environment variable that holds the API key; if it is unset, no key is sent. A recipe's file may name
    OPENAI_API_KEY or a variable that begins with INTERANK_; any other has to be named on the command line, since its
    value is sent to `urls`."""
    in_flight: int = Field(32, ge=1)
    """Requests in flight at a time, over all servers."""
    timeout: float = Field(300.0, gt=0)
    """Seconds for the whole answer to a request, after which it is sent again."""
    attempts: int = Field(6, ge=1)
    """How often a request is sent before it is rejected, and how often in a row a server may fail before it is no
    longer used."""
    longest_wait: float = Field(60.0, gt=0)
    """The longest pause, in seconds, after a server failed or asked for a pause."""

    @field_validator("key")
    @classmethod
    def _key_is_a_variable(cls, key: str) -> str:
        if not _VARIABLE.fullmatch(key) or key.startswith(_KEYS):
            # Not shown: it may be the key itself.
            raise ValueError(
                "the value is no name of an environment variable; put the key into a variable, such as OPENAI_API_KEY, "
                "and give the variable's name"
            )
        return key

    @model_validator(mode="after")
    def _urls_are_urls(self) -> ServersRecipe:
        for number, url in enumerate(self.urls, start=1):
            _check_url(url, number)
        if len(set(self.urls)) < len(self.urls):
            raise ValueError("urls: one address is there twice; give each server once")
        return self


def _check_url(url: str, number: int) -> None:
    """Refuse what is no address, or holds a secret; the message repeats no part that may be the secret.

    Raises:
        ValueError: The address is wrong or holds a secret.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = None, None
    if "@" in url or "?" in url:
        # In a malformed address the parsed host may be a part of the password.
        is_host = parts is not None and host and "@" not in url.replace(parts.netloc, "")
        address = f"the address of {host}" if is_host else "an address"
        raise ValueError(
            f"urls: {address} holds a name, a password or a query, which outputs and logs would show; take it out, and "
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
            f"urls: number {number} is no address of a server (not shown, as it may hold a password); write it "
            "like http://HOST:PORT/v1 or https://HOST/v1"
        )
