"""Reads DeAR-COT's layout: instruction rows with passages in the prompt and a ranking at the end of the output.

The columns are those of LLaMA-Factory's alpaca form (system, instruction, input, output, history) and `think`
(abdoelsayed/DeAR-COT on the Hugging Face hub). Rankings there are a teacher's, not human truth.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interank.errors import InputError
from interank.ir.benchmarks.rows import Row, parse_json, read_rows
from interank.tasks.order import ordering
from interank.tasks.order.lists import ListExample
from interank.tasks.order.ordering import Ordering
from interank.tasks.order.values import is_whole
from interank.types import Document, Query
from interank.wording import counted

_SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".parquet")
# The query in RankGPT's prompts: after the passages, or before them.
_QUERY_AFTER = re.compile(r"^\s*(?:Search )?Query:[ \t]*(\S.*?)[ \t]*$", re.I | re.M)
_QUERY_BEFORE = re.compile(r"(?:search query|to (?:the )?query)\s*:[ \t]*(\S.*?)[ \t]*$", re.I | re.M)
# The words after the last passage: on a line of their own where passages are, else anywhere.
_AFTER = r"(?:(?:Search )?Query:|Rank the\b|Please rank\b|Output format\b|The passages should\b)"
_AFTER_LINES, _AFTER_INLINE = re.compile(rf"\n\s*{_AFTER}", re.I), re.compile(rf"\s{_AFTER}", re.I)
_THOUGHT = re.compile(r"</?think>")


@dataclass(frozen=True, slots=True)
class Unusable:
    """A row without a usable list, and the reason."""

    where: str
    reason: str


def read_dear_cot(folder: Path) -> tuple[list[ListExample], list[Unusable]]:
    """The lists of a JSON, JSONL or Parquet file or of a folder of them; and the rows without a usable list.

    A row is used only if its ranking names every passage once: an order that had to be completed would teach that
    leaving passages out is right.

    Raises:
        InputError: There is no such file, a file cannot be read, or no row of them all can be used.
    """
    paths = [folder] if folder.is_file() else sorted(path for path in folder.rglob("*") if path.is_file())
    paths = [path for path in paths if path.name.endswith(_SUFFIXES)]
    if not paths:
        raise InputError(
            f"{folder} holds no {', '.join(_SUFFIXES)} file with rows of DeAR-COT (instruction, output); "
            "fetch them from the hub, or name another folder"
        )
    examples: list[ListExample] = []
    unusable: list[Unusable] = []
    for path in paths:
        for where, row in _rows(path):
            example = _example(where, row)
            if isinstance(example, ListExample):
                examples.append(example)
            else:
                unusable.append(example)
    if not examples:
        first = f" ({unusable[0].where}: {unusable[0].reason})" if unusable else ""
        raise InputError(
            f"{folder}: none of its {counted(len(unusable), 'row')} can be used{first}; DeAR-COT has passages "
            "[1], [2] and so on in instruction, and a ranking of them at the end of output: give such rows"
        )
    return examples, unusable


def _rows(path: Path) -> list[Row]:
    """The rows of a file; a JSON file holds one array, as LLaMA-Factory takes it, or is JSONL by another name."""
    if path.suffix == ".json" and path.read_text(encoding="utf-8", errors="replace").lstrip()[:1] == "[":
        parsed = parse_json(str(path), path.read_text(encoding="utf-8"))
        rows = parsed if isinstance(parsed, list) else [parsed]
        return [(f"{path}: row {number}", row) for number, row in enumerate(rows, start=1)]
    return list(read_rows([path]))


def _example(where: str, row: object) -> ListExample | Unusable:
    if not isinstance(row, Mapping):
        return Unusable(where, "not an object")
    instruction, output = _text(row, "instruction"), _text(row, "output")
    if not instruction or not output:
        return Unusable(where, "instruction or output is empty")
    prompt = "\n".join(part for part in (instruction, _text(row, "input")) if part)
    parts = _prompt_parts(prompt)
    if isinstance(parts, str):
        return Unusable(where, parts)
    query, passages = parts
    answer = ordering.parse(output, len(passages))
    if answer is None:
        return Unusable(where, "output ends in no ranking")
    if not is_whole(answer):
        return Unusable(where, f"the ranking does not name each of {counted(len(passages), 'passage')} once")
    think = _text(row, "think")
    # The `think` column may end in a ranking of its own, which is not the answer.
    thinking = ordering.parse(think, len(passages))
    reasoning = _reasoning(answer.reasoning, thinking.reasoning if thinking else think)
    name = _name(query)
    documents = tuple(Document(f"{name}/{_name(passage)}", passage) for passage in passages)
    if len({document.doc_id for document in documents}) < len(documents):
        return Unusable(where, "a passage is repeated")
    return ListExample(Query(name, query), documents, Ordering(answer.positions, reasoning))


def _prompt_parts(prompt: str) -> tuple[str, list[str]] | str:
    """The query and the passages of a prompt; or what is wrong with it."""
    head, passages, tail = _passages(prompt, r"^[ \t]*", _AFTER_LINES)
    if len(passages) < 2:
        head, passages, tail = _passages(prompt, r"(?<!\S)", _AFTER_INLINE)
    if len(passages) < 2:
        return "instruction holds fewer than two passages [1], [2]"
    if not all(passages):
        return "a passage is empty"
    query = _QUERY_AFTER.search(tail) or _QUERY_BEFORE.search(head) or _QUERY_AFTER.search(head)
    # RankGPT's wording ends the query with a full stop of its own.
    text = query[1].removesuffix(".").strip() if query else ""
    return (text, passages) if text else "instruction names no query"


def _passages(prompt: str, begin: str, after: re.Pattern[str]) -> tuple[str, list[str], str]:
    """The text before the passages, the passages, and the text after them."""
    first = re.compile(rf"{begin}\[1\]:?\s", re.M).search(prompt)
    if first is None:
        return prompt, [], ""
    cut = after.search(prompt, first.end())
    end = cut.start() if cut else len(prompt)
    starts = [first]
    while match := re.compile(rf"{begin}\[{len(starts) + 1}\]:?\s", re.M).search(prompt, starts[-1].end(), end):
        starts.append(match)
    ends = [*(start.start() for start in starts[1:]), end]
    passages = [prompt[start.end() : stop].strip() for start, stop in zip(starts, ends, strict=True)]
    return prompt[: first.start()], passages, prompt[end:]


def _reasoning(written: str, think: str) -> str:
    """The text before the ranking, led by the `think` column where one does not contain the other."""
    written, think = written.strip(), _THOUGHT.sub("", think).strip()
    if not think or " ".join(think.split()) in " ".join(written.split()):
        return written
    if " ".join(written.split()) in " ".join(think.split()):
        return think
    return f"{think}\n\n{written}"


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    return value if isinstance(value, str) else ""


def _name(text: str) -> str:
    """An id for a text that has none, the same wherever the text occurs."""
    return hashlib.sha256(" ".join(text.split()).encode("utf-8", "replace")).hexdigest()[:16]
