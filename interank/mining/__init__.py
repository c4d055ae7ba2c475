"""Mining: from StackExchange dumps to question-document pairs."""

from interank.mining.left_out import DecontaminatedError
from interank.mining.pairs import Contaminated, Item, Mined, mine
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
    "Post",
    "PostKind",
    "Row",
    "Table",
    "Tally",
    "find_dumps",
    "find_sites",
    "html_to_text",
    "mine",
    "plain_text",
    "read_rows",
]
