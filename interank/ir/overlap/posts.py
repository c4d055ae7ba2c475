"""Names of StackExchange posts and pages, parsed from addresses and ids in the forms that people write."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import unquote

_NETWORK = ".stackexchange.com"
# Sites outside stackexchange.com, by their first label.
_OWN_DOMAINS = {
    "stackoverflow": "stackoverflow.com",
    "serverfault": "serverfault.com",
    "superuser": "superuser.com",
    "askubuntu": "askubuntu.com",
    "mathoverflow": "mathoverflow.net",
    "stackapps": "stackapps.com",
}
# Former names of sites and marketing domains.
_ALIASES = {
    "arqade.com": "gaming.stackexchange.com",
    "askdifferent.com": "apple.stackexchange.com",
    "crossvalidated.com": "stats.stackexchange.com",
    "seasonedadvice.com": "cooking.stackexchange.com",
    "mathoverflow.com": "mathoverflow.net",
    "mathoverflow.stackexchange.com": "mathoverflow.net",
    "ubuntu.stackexchange.com": "askubuntu.com",
    "avp.stackexchange.com": "video.stackexchange.com",
    "beer.stackexchange.com": "alcohol.stackexchange.com",
    "cogsci.stackexchange.com": "psychology.stackexchange.com",
    "crossvalidated.stackexchange.com": "stats.stackexchange.com",
    "garage.stackexchange.com": "mechanics.stackexchange.com",
    "moderators.stackexchange.com": "communitybuilding.stackexchange.com",
    "photography.stackexchange.com": "photo.stackexchange.com",
    "programmers.stackexchange.com": "softwareengineering.stackexchange.com",
    "statistics.stackexchange.com": "stats.stackexchange.com",
    "ui.stackexchange.com": "ux.stackexchange.com",
}
_HOST = (
    r"(?P<host>(?:[a-z0-9-]+\.)*(?:stackexchange\.com|stackoverflow\.com|serverfault\.com|superuser\.com|"
    r"askubuntu\.com|stackapps\.com|mathoverflow\.(?:net|com)|arqade\.com|askdifferent\.com|crossvalidated\.com|"
    r"seasonedadvice\.com))"
)
_PATH = (
    r"/(?P<form>questions|question|q|a|posts)/(?P<id>[0-9]{1,18})(?![0-9a-z_-])"
    # /questions/7/title/8#8: the answer 8 to the question 7.
    r"(?:/[^\s/?#\"'<>)\]]*/(?P<answer>[0-9]{1,18})(?![0-9a-z_-]))?(?P<rest>[^\s\"'<>)\]]*)"
)
_POST_ADDRESS = re.compile(rf"(?<![a-z0-9.-]){_HOST}(?::[0-9]+)?{_PATH}", re.IGNORECASE)
# An id as mining or a dump writes it: `coffee.stackexchange.com/123`.
_POST_ID = re.compile(rf"\s*{_HOST}[/:#_]([0-9]{{1,18}})(?:\.[a-z]+)?\s*", re.IGNORECASE)
_ANSWER_ANCHOR = re.compile(r"#(?:answer-)?([0-9]{1,18})\b")
_ADDRESS = re.compile(
    r"\s*(?:[a-z][a-z0-9+.-]*:)?//(?:[^/@\s]*@)?(?P<host>[^/?#:\s]+)(?::[0-9]+)?(?P<path>[^#\s]*)", re.I
)


class PostName(NamedTuple):
    """A post of a StackExchange site; questions and answers of a site share their numbers."""

    site: str
    post_id: str


def site_name(site: str) -> str:
    """A site's canonical name: `math.stackexchange.com` for `www.Math.StackExchange.com`, `math` or an alias."""
    host = site.strip().lower().rstrip(".")
    while host.startswith(("www.", "m.")):
        host = host.partition(".")[2]
    if host and "." not in host:
        host = _OWN_DOMAINS.get(host, host + _NETWORK)
    # The former meta.math.stackexchange.com is now math.meta.stackexchange.com.
    is_meta = ".meta." in host or (host.startswith("meta.") and host.count(".") > 2)
    if is_meta:
        host = host.removeprefix("meta.").replace(".meta.", ".", 1)
    host = _ALIASES.get(host, host)
    return f"meta.{host}" if is_meta else host


def posts_in(text: str) -> Iterator[PostName]:
    """The posts whose addresses are in the text, with or without a scheme; an answer's gives its question too."""
    for match in _POST_ADDRESS.finditer(unquote(text) if "%2F" in text or "%2f" in text else text):
        site = site_name(match["host"])
        yield PostName(site, _number(match["id"]))
        anchor = (
            _ANSWER_ANCHOR.search(match["rest"]) if match["form"].lower() in ("questions", "question", "q") else None
        )
        answer = match["answer"] or (anchor and anchor.group(1))
        if answer and _number(answer) != _number(match["id"]):
            yield PostName(site, _number(answer))


def post_named(identifier: str) -> list[PostName]:
    """The posts that an id names or is the address of, a question before its answer; empty for other ids."""
    match = _POST_ID.fullmatch(identifier)
    if match:
        return [PostName(site_name(match["host"]), _number(match.group(2)))]
    return list(posts_in(identifier))


def page_name(address: str) -> str | None:
    """An address without scheme, `www.`, final slash and anchor, which do not identify a page; None if it is none."""
    match = _ADDRESS.fullmatch(address.partition("#")[0])
    if match is None or "." not in match["host"]:
        return None
    return match["host"].lower().removeprefix("www.") + unquote(match["path"]).rstrip("/")


def _number(digits: str) -> str:
    return str(int(digits))
