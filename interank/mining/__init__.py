"""Mining: from StackExchange dumps to question-document pairs."""

from interank.mining.exclusions import DecontaminatedError
from interank.mining.items import Contaminated, Item
from interank.mining.pairs import Mined, MinedIn, mine, mine_in
from interank.mining.rows import Row, Tally, read_rows
from interank.mining.sites import find_sites
from interank.mining.stackexchange import Counts, Dump, Link, Post, PostKind, find_dumps
from interank.mining.streams import Table
from interank.mining.text import html_to_text, plain_text

__all__ = [
    "Contaminated",
    "Counts",
    "DecontaminatedError",
    "Dump",
    "Item",
    "Link",
    "Mined",
    "MinedIn",
    "Post",
    "PostKind",
    "Row",
    "Table",
    "Tally",
    "find_dumps",
    "find_sites",
    "html_to_text",
    "mine",
    "mine_in",
    "plain_text",
    "read_rows",
]
