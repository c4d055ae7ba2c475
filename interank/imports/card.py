"""The card of what was imported: what it is, which columns it came from, and whose it is as far as the rows tell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from huggingface_hub import DatasetCard

from interank import cards
from interank.tables.columns import Columns


def card(
    title: str,
    about: Sequence[str],
    columns: Mapping[str, Columns],
    counts: Mapping[str, int],
    licences: Iterable[str],
    files: Mapping[str, str],
) -> DatasetCard:
    """A card.

    Args:
        title: Its first line.
        about: What it holds and how it was made, a paragraph each.
        columns: The columns that were read, by table.
        counts: Numbers by name.
        licences: The licence of each text; empty where the rows do not tell.
        files: The file of each split.
    """
    found = Counter(licences)
    told = {name for name in found if name}
    rows = [(table, role, name) for table, of in columns.items() for role, name in of.of.items()]
    sections = [
        f"# {cards.name(title)}",
        *about,
        "## Counts",
        cards.table(("", ""), counts.items()),
        *(("## Columns", cards.table(("table", "role", "column"), rows)) if rows else ()),
        "## Licence",
        "Licences of the texts: "
        + ", ".join(f"{cards.name(name or 'not told')} ({number})" for name, number in sorted(found.items()))
        + "."
        + ("" if told else " interank adds none: what may be done with them is for their owner to say."),
    ]
    configs = [
        {
            "config_name": "default",
            "data_files": [{"split": split, "path": name} for split, name in files.items()],
        }
    ]
    return cards.dataset_card(sections, configs=configs)
