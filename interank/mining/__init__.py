"""Mining: question-document pairs from StackExchange dumps."""

from interank.mining.exclusions import DecontaminatedError
from interank.mining.items import ContaminationCheck, Item
from interank.mining.pairs import MinedIn, MiningResult, mine, mine_in
from interank.mining.rows import Row, Tally, read_rows
from interank.mining.sites import find_sites
from interank.mining.stackexchange import Counts, Dump, Link, Post, PostKind, find_dumps
from interank.mining.streams import Table
from interank.mining.text import html_to_text, plain_text

__all__ = [
    "ContaminationCheck",
    "Counts",
    "DecontaminatedError",
    "Dump",
    "Item",
    "Link",
    "MinedIn",
    "MiningResult",
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
