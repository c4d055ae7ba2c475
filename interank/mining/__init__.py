"""Mining: from StackExchange dumps to question-document pairs."""

from interank.mining.pairs import Mined, mine
from interank.mining.stackexchange import (
    Counts,
    Link,
    Post,
    PostKind,
    Thread,
    dump_folders,
    read_links,
    read_posts,
    threads,
)
from interank.mining.text import html_to_text

__all__ = [
    "Counts",
    "Link",
    "Mined",
    "Post",
    "PostKind",
    "Thread",
    "dump_folders",
    "html_to_text",
    "mine",
    "read_links",
    "read_posts",
    "threads",
]
