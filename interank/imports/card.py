"""The card of an import: its content, the columns that were read, and the licences in the rows."""

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
    """Build the card of an import.

    Args:
        title: The title.
        about: Paragraphs on the content and how it was made.
        columns: The columns that were read, by table.
        counts: Numbers by name.
        licences: The licence of each text; empty if the row has none.
        files: The file of each split.
    """
    by_licence = Counter(licences)
    known = {name for name in by_licence if name}
    rows = [(table, role, name) for table, of in columns.items() for role, name in of.of.items()]
    sections = [
        f"# {cards.name(title)}",
        *about,
        "## Counts",
        cards.table(("", ""), counts.items()),
        *(("## Columns", cards.table(("table", "role", "column"), rows)) if rows else ()),
        "## Licence",
        "Licences of the texts: "
        + ", ".join(f"{cards.name(name or 'not told')} ({number})" for name, number in sorted(by_licence.items()))
        + "."
        + ("" if known else " interank adds none: what may be done with them is for their owner to say."),
    ]
    configs = [
        {
            "config_name": "default",
            "data_files": [{"split": split, "path": name} for split, name in files.items()],
        }
    ]
    return cards.dataset_card(sections, configs=configs)
