"""The prompts, the answers and the parser of a listwise ranking: their wording is defined here alone."""

from __future__ import annotations

import hashlib
import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, fields

from interank.settings.listwise import ListForm

RANKING_LEAD = "Ranking: "
_JOIN = " > "
_GAP = "\n\n"

_TASK = (
    "Below are {size} documents, each led by its number in brackets. Rank them by how much they help to answer a "
    "question.\n"
)

# It stands before the question, as in a judgment's prompt.
_INSTRUCTED = "\nInstruction for the ranking:\n{instruction}\n"
_ASK: dict[ListForm, str] = {
    "reason": (
        "First write, in a few sentences, what the question needs and which documents hold it. Then, after a blank "
        "line, write `Ranking: ` and the numbers of all {size} documents, the most helpful first, like "
        "`Ranking: [2] > [1] > [3]`. Write every number exactly once."
    ),
    "direct": (
        "Write `Ranking: ` and the numbers of all {size} documents, the most helpful first, like "
        "`Ranking: [2] > [1] > [3]`. Write every number exactly once, and nothing else."
    ),
}

# The wording that DeAR's adapter is run with (DataScienceUIBK/DeAR-Reranking, listwise_rerank/prompts.py). It follows
# RankGPT's: each passage has a turn of its own and a number from 1, and is shown as its first 300 words on one line.
_DEAR_SYSTEM = "You are RankLLM, an assistant that ranks passages by relevance to the query."
_DEAR_TASK = (
    "I will provide you with {size} passages, each indicated by number identifier [].\n"
    "Rank the passages based on their relevance to query: {query}."
)
_DEAR_ASK = (
    "Search Query: {query}.\n"
    "Rank the {size} passages above based on their relevance to the search query. "
    "The passages should be listed in descending order using identifiers.\n"
    "Please follow the steps below:\n"
    "Step 1. List the information requirements to answer the query.\n"
    "Step 2. For each requirement, find the passages containing that information.\n"
    "Step 3. Rank passages that best cover clear and diverse information. Include all passages.\n"
    "Output format strictly: [2] > [1] > [3] ... Only output the ranking using identifiers; no explanations."
)
DEAR_WORDS = 300

# A number in brackets, of which either may be missing. It may be bold or code, and a grade may follow: `[3](4)`.
_NUMBER = r"[*`]{0,3}(?:\[\s?)?(?<!\d)\d+(?:\s?\])?(?:\s?\(\d+\))?[*`]{0,3}"
_CHAIN = re.compile(rf"{_NUMBER}(?:\s{{0,8}}[>=]\s{{0,8}}{_NUMBER})*")
_LED_CHAIN = re.compile(rf"[\s*`:]{{0,8}}(?:\[\s?(?=\[))?({_NUMBER}(?:\s{{0,8}}[>=,]\s{{0,8}}{_NUMBER})*)")
_BRACKETED = re.compile(r"\[\s?\d+\s?\]")
_PARTS = re.compile(r"([>=,]?)\s*[*`]*(\[\s?)?(\d+)(\s?\])?(?:\s?\(\d+\))?")
_LEAD = re.compile(r"^[\s#*_`>-]{0,16}(?:(?:final\s+)?(?:re-?)?ranking[*_`]{0,3}\s{0,4}:|<answer>)", re.I | re.M)
# What may follow a ranking at the end of a text: closing marks, or the beginning of a number that was cut off.
_END = re.compile(r"(?:\s{0,8}>\s{0,8}\[?)?[\s.*`'\"]*+(?:</answer>)?\s*+")
_REST_OF_LINE = re.compile(r"[^\S\n]*+[.*`'\"\]]*+[^\S\n]*+(?:</answer>|\n|\Z)")
# The most digits of a number that is read: no window has so many documents, and Python refuses thousands of digits.
_LONGEST_NUMBER = 6


@dataclass(frozen=True, slots=True)
class Repairs:
    """The repairs that made an answer a total order, counted by kind."""

    unbracketed: int = 0
    """Numbers that lack a bracket."""
    tied: int = 0
    """Numbers joined by `=`; they keep the order in which they were written."""
    repeated: int = 0
    """Numbers that occur again; the first occurrence counts."""
    outside: int = 0
    """Numbers of no document; they are left out."""
    missing: int = 0
    """Documents that were not named; they follow the others in the window's order."""
    unfinished: int = 0
    """A number that was cut off; it is left out, since `[1` may be the beginning of `[12]`."""

    def __add__(self, other: Repairs) -> Repairs:
        return Repairs(*(getattr(self, item.name) + getattr(other, item.name) for item in fields(self)))

    def __sub__(self, other: Repairs) -> Repairs:
        return Repairs(*(getattr(self, item.name) - getattr(other, item.name) for item in fields(self)))

    @property
    def total(self) -> int:
        """The number of repairs of all kinds."""
        return sum(getattr(self, item.name) for item in fields(self))


@dataclass(frozen=True, slots=True)
class Ordering:
    """A listwise answer: every position of the window once, best first, counted from 0."""

    positions: tuple[int, ...]
    reasoning: str = ""
    repairs: Repairs = Repairs()


def render(
    query: str, documents: Sequence[str], form: ListForm = "reason", instruction: str = ""
) -> list[dict[str, str]]:
    """The chat messages that ask for a ranking: documents numbered from 1 in the order given, and never their ids.

    Each document is one line, so that no line in it, such as `[7] ...`, passes for another document. DeAR's form has no
    place for an instruction.
    """
    shown = [as_shown(text, form) for text in documents]
    if form == "dear":
        return _render_dear(query, shown)
    listed = _GAP.join(f"[{number}] {text}" for number, text in enumerate(shown, start=1))
    size = len(documents)
    instructed = _INSTRUCTED.format(instruction=instruction) if instruction else ""
    # The question stands on both sides: before, so that the documents are read for it; after, since they are long.
    content = (
        f"{_TASK.format(size=size)}{instructed}\nQuestion:\n{query}\n\nDocuments:\n\n{listed}\n\n"
        f"The question again:\n{query}\n\n{_ASK[form].format(size=size)}"
    )
    return [{"role": "user", "content": content}]


def as_shown(text: str, form: ListForm = "reason") -> str:
    """A document as a prompt shows it: on one line, and in DeAR's form its first 300 words."""
    return " ".join(text.split()[: DEAR_WORDS if form == "dear" else None])


def answer(positions: Sequence[int], reasoning: str = "", form: ListForm = "reason") -> str:
    """The text of an answer that `parse` reads back as these positions, which count from 0, and this reasoning."""
    ranking = _JOIN.join(f"[{position + 1}]" for position in positions)
    led = ranking if form == "dear" else RANKING_LEAD + ranking
    return _GAP.join(part for part in (reasoning, led) if part)


def parse(text: str, size: int) -> Ordering | None:
    """Read the final answer of a reply about `size` documents; None if it holds no ranking.

    Only the text after the last `</think>` is searched. The answer follows the last `Ranking:` that begins a line there
    (or `### Final Reranking:`, or `<answer>`). Without such an answer it is the chain, like `[2] > [1]`, that ends the
    text. Numbers anywhere else are part of the reasoning, so that an answer cut off by its budget has no ranking.
    """
    thought, closed, rest = text.rpartition("</think>")
    if "<think>" in rest:
        return None
    final = _final(rest)
    if final is None:
        return None
    chain, begin, unfinished = final
    parts = _PARTS.findall(chain)
    if unfinished:
        parts = parts[:-1]
    positions, repairs = _repaired(parts, size)
    if not positions:
        return None
    reasoning = (thought.replace("<think>", "").strip() + _GAP if closed else "") + rest[:begin]
    return Ordering(_completed(positions, size), reasoning.strip(), repairs + Repairs(unfinished=unfinished))


def prompt_hash(form: ListForm = "reason", instruction: str = "") -> str:
    """Identifies the wording of a form's prompt and answer, 16 hexadecimal digits; artifacts record it."""
    rendered = str(render("{query}", ["{first}", "{second}"], form, instruction))
    wording = "\0".join([rendered, answer((1, 0), "{reasoning}", form)])
    return hashlib.sha256(wording.encode()).hexdigest()[:16]


def _render_dear(query: str, documents: Sequence[str]) -> list[dict[str, str]]:
    size = len(documents)
    messages = [
        {"role": "system", "content": _DEAR_SYSTEM},
        {"role": "user", "content": _DEAR_TASK.format(size=size, query=query)},
        {"role": "assistant", "content": "Okay, please provide the passages."},
    ]
    for number, text in enumerate(documents, start=1):
        messages.append({"role": "user", "content": f"[{number}] {text}"})
        messages.append({"role": "assistant", "content": f"Received passage [{number}]."})
    return [*messages, {"role": "user", "content": _DEAR_ASK.format(size=size, query=query)}]


def _final(text: str) -> tuple[str, int, bool] | None:
    """The ranking's chain, where the answer begins, and whether the chain's last number was cut off."""
    lead = _last(_LEAD, text)
    if lead is not None:
        led = _LED_CHAIN.match(text, lead.end())
        if led is not None and _is_ranking(led[1], text, led.end()):
            return led[1], lead.start(), _is_cut(led[1], text, led.end())
    chain = _last(_CHAIN, text)
    if chain is None or len(_PARTS.findall(chain[0])) < 2 or not _BRACKETED.search(chain[0]):
        return None
    if not _END.fullmatch(text, chain.end()):
        return None
    return chain[0], chain.start(), _is_cut(chain[0], text, chain.end())


def _last(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    matches = deque(pattern.finditer(text), maxlen=1)
    return matches[0] if matches else None


def _is_ranking(chain: str, text: str, end: int) -> bool:
    """True where the chain after a lead is a ranking, and not the beginning of a sentence about one.

    A single number has to be in brackets and alone on its line. A chain has to be in brackets, or alone on its line.
    """
    bracketed = bool(_BRACKETED.search(chain))
    alone = bool(_REST_OF_LINE.match(text, end))
    return (bracketed and alone) if len(_PARTS.findall(chain)) == 1 else (bracketed or alone)


def _is_cut(chain: str, text: str, end: int) -> bool:
    _, opened, _, closed = _PARTS.findall(chain)[-1]
    return bool(opened and not closed and not text[end:].strip())


def _repaired(parts: Sequence[tuple[str, str, str, str]], size: int) -> tuple[list[int], Repairs]:
    """The positions that are named, each once, and the repairs that this took."""
    positions: dict[int, None] = {}
    repeated = outside = 0
    for _, _, digits, _ in parts:
        position = int(digits) - 1 if len(digits) <= _LONGEST_NUMBER else -1
        if not 0 <= position < size:
            outside += 1
        elif position in positions:
            repeated += 1
        else:
            positions[position] = None
    unbracketed = sum(not (opened and closed) for _, opened, _, closed in parts)
    tied = sum(joint == "=" for joint, *_ in parts)
    return list(positions), Repairs(unbracketed, tied, repeated, outside, size - len(positions))


def _completed(positions: Sequence[int], size: int) -> tuple[int, ...]:
    named = set(positions)
    return (*positions, *(position for position in range(size) if position not in named))
