"""The facts of marked explanations for card and manifest: counts and mean marks by kind, position bias and more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import StatisticsError, correlation, fmean
from typing import Any

from interank import cards
from interank.explanations import FILE, HONEST, KINDS, MADE_MARKS, ExplanationRow
from interank.teacher.marking import MarkedSet, contradicted, preferred
from interank.wording import counted


def facts(
    sets: Sequence[MarkedSet], made: Sequence[ExplanationRow], earlier: Sequence[ExplanationRow] = ()
) -> dict[str, Any]:
    """Counts by writer and kind, mean marks, position bias, contradictions, and the correlation of marks with length.

    Args:
        sets: The sets marked in this pass.
        made: The explanations of this pass.
        earlier: The explanations that the judgments already had; those dropped are counted of this pass alone.
    """
    rows = [*earlier, *made]
    kinds: dict[str, dict[str, Any]] = {}
    for name in _named(rows):
        own = [row for row in rows if _name(row) == name]
        known = [row.mark for row in own if row.mark is not None]
        kinds[name] = {"explanations": len(own), "mean_mark": round(fmean(known), 4) if known else None}
    dropped = Counter(row.dropped for row in made if row.dropped)
    whole = [each for each in sets if len(each.whole) == 2]
    values: dict[str, Any] = {
        "sets": len(sets),
        "explanations": len(rows),
        "pairs": len({(row.query_id, row.doc_id) for row in rows}),
        "kinds": kinds,
        "dropped": {name: dropped[name] for name in sorted(dropped)},
        "tied_sets": sum(each.is_tied for each in sets),
        "length_correlation": length_correlation(rows),
    }
    if any(each.orders for each in sets):
        values |= {
            "preferences": sum(preferred(each.whole) for each in whole),
            "contradicted_preferences": sum(len(contradicted(each.whole)) for each in whole),
            "position_bias": position_bias(whole),
        }
    return values


def position_bias(sets: Sequence[MarkedSet]) -> float | None:
    """The mean of an explanation's mark in a set's first half less its mark in the second; None without sets.

    Each explanation is read once in either half, so that its quality cancels out.
    """
    moved = []
    for each in sets:
        first, second = each.whole
        order = each.orders[0]
        half = len(order) // 2
        early, late = order[:half], order[len(order) - half :]
        moved += [first[place].mark - second[place].mark for place in early]
        moved += [second[place].mark - first[place].mark for place in late]
    return round(fmean(moved), 4) if moved else None


def length_correlation(rows: Sequence[ExplanationRow]) -> float | None:
    """Pearson's correlation of marks with numbers of words; None where either is constant."""
    known = [(len(row.explanation.split()), row.mark) for row in rows if row.mark is not None]
    try:
        return round(correlation([words for words, _ in known], [mark for _, mark in known]), 4)
    except StatisticsError:
        return None


def section(notes: Mapping[str, Any]) -> str:
    """The card's part on explanations."""
    table = cards.table(
        ("kind", "explanations", "mean mark"),
        [
            (name, kind["explanations"], "none" if kind["mean_mark"] is None else f"{kind['mean_mark']:.2f}")
            for name, kind in notes["kinds"].items()
        ],
    )
    lines = [
        f"`{FILE}` has {counted(notes['explanations'], 'explanation')} of {counted(notes['pairs'], 'pair')}: "
        "what the teacher and a student wrote (`honest`), and faults that were made. The column `mark` is from 0 to 1.",
        table,
        "\n".join(f"- {line}" for line in _lines(notes)),
    ]
    return "## Explanations with marks\n\n" + "\n\n".join(lines)


def _lines(notes: Mapping[str, Any]) -> list[str]:
    if notes["marked_by"] == MADE_MARKS:
        which = "those of this pass" if notes.get("earlier") else "them"
        lines = [
            f"Nobody marked {which}: an honest explanation has 1 and a made fault 0. What learns from such marks "
            "learns what these faults look like, and nothing of which of two honest explanations is the better."
        ]
    elif "preferences" not in notes:
        lines = [f"No set was marked by `{notes['marked_by']}` (rubric {notes['rubric_hash']})."]
    else:
        dropped = sum(notes["dropped"].values())
        reasons = ", ".join(f"{number} {name}" for name, number in notes["dropped"].items())
        bias, preferences = notes["position_bias"], notes["preferences"]
        share = notes["contradicted_preferences"] / preferences if preferences else 0.0
        lines = [
            f"`{notes['marked_by']}` marked the explanations of a pair side by side, in an order and in its reverse "
            f"(rubric {notes['rubric_hash']}).",
            f"Position: an explanation has {bias:+.3f} more in the first half of a set than in the second."
            if bias is not None
            else "Position: no set was read in both orders.",
            f"Contradictions: {notes['contradicted_preferences']} of {preferences} preferences ({share:.1%}) turn with "
            "the order; explanations are left out until none is left.",
            f"{counted(dropped, 'explanation')} count for nothing" + (f" ({reasons})." if reasons else "."),
            f"In {notes['tied_sets']} of {counted(notes['sets'], 'set')} all explanations have one mark.",
        ]
    length = notes["length_correlation"]
    correlated = "marks or lengths are all alike." if length is None else f"marks and numbers of words r {length:+.2f}."
    lines.append(f"Length: {correlated}")
    if notes.get("earlier"):
        lines.append(f"Earlier: {counted(notes['earlier'], 'explanation')} came with the judgments, with their marks.")
    if notes["skipped"]:
        lines.append(f"Left out: {counted(notes['skipped'], 'pair')} with fewer than two different explanations.")
    if notes["unanswered"]:
        lines.append(f"Not whole: {counted(notes['unanswered'], 'pair')} wait, since the budget was reached.")
    return lines


def _named(rows: Sequence[ExplanationRow]) -> list[str]:
    """The names of kinds in their order, honest ones by writer."""
    kinds = {_name(row): (KINDS.index(row.kind), row.writer) for row in rows}
    return sorted(kinds, key=lambda name: (kinds[name][0], kinds[name][1] != "teacher"))


def _name(row: ExplanationRow) -> str:
    return f"{HONEST} ({row.writer})" if row.kind == HONEST else row.kind
