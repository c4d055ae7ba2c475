"""The reader of questions and answers: a row for each question with its answers, or a row for each answer."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from interank.errors import InputError
from interank.imports.rows import Cells, Rows
from interank.tables import Table, values
from interank.tables.columns import Columns, Role, assign, first_rows, named_as_roles, names_in

_ABOUT = (
    Role("url", "where it can be read", ("url", "link", "permalink")),
    Role("author", "who wrote it", ("author", "user", "owner", "username", "agent")),
    Role("created", "when it was written", ("created", "created_at", "creation_date", "date", "timestamp")),
    Role("licence", "its licence", ("licence", "license", "content_license")),
)
_QUESTION = (
    Role(
        "question_id",
        "the question's id",
        (
            *("question_id", "questionid", "qid", "ticket_id", "ticket", "ticket_no", "query_id", "post_id", "case_id"),
            *("_id", "id", "uid", "key"),
        ),
    ),
    Role("title", "the question's title", ("title", "subject", "question_title", "summary", "headline"), joins=True),
    Role(
        "answers",
        "the answers, a list or one text",
        (
            *("answers", "answer", "replies", "reply", "responses", "response", "resolution", "solution", "solutions"),
            *("answer_body", "answer_text", "best_answer", "output", "completion"),
        ),
        required=True,
    ),
    Role(
        "body",
        "the question's text",
        (
            *(
                "body",
                "question",
                "question_body",
                "question_text",
                "description",
                "text",
                "query",
                "message",
                "prompt",
            ),
            *("content", "problem", "instruction", "input"),
        ),
        joins=True,
    ),
    Role("accepted_answer_id", "the id of the accepted answer", ("accepted_answer_id", "acceptedanswerid")),
    Role("tags", "the question's tags", ("tags", "tag", "labels", "categories", "category", "topics", "topic")),
    Role("thread", "what keeps questions together in a split", ("thread", "thread_id", "conversation_id", "group_id")),
)
_ANSWER_IDS = ("answer_id", "answerid", "aid", "a_id", "reply_id", "response_id")
_VOTES = ("votes", "upvotes", "score", "pm_score", "points", "likes", "helpful")
_ACCEPTED = Role(
    "accepted", "whether it was accepted", ("accepted", "is_accepted", "selected", "is_best", "is_answer", "best")
)
_FLAT = (
    Role("answer_id", "the answer's id", _ANSWER_IDS),
    Role("answer_score", "the answer's votes", ("answer_score", "answer_votes", *_VOTES)),
    _ACCEPTED,
    Role("score", "the question's votes", ("question_score", "question_votes")),
)
_NESTED = (Role("score", "the question's votes", ("question_score", "question_votes", *_VOTES)),)
_IN_ANSWER = (
    Role("answer_id", "the answer's id", (*_ANSWER_IDS, "_id", "id")),
    Role(
        "answer_body",
        "the answer's text",
        ("body", "text", "answer", "content", "answer_body", "answer_text", "message", "reply", "response"),
        required=True,
        joins=True,
    ),
    Role("answer_score", "the answer's votes", ("answer_score", "answer_votes", *_VOTES)),
    _ACCEPTED,
    *_ABOUT,
)
_INNER_ROLES = frozenset({"answer_id", "answer_body", "answer_score", "accepted"})
EXAMPLE = {
    "question_id": "T-1",
    "title": "Cannot log in",
    "body": "The page says ...",
    "answers": [{"answer_id": "A-1", "body": "Reset ...", "score": 3, "accepted": True}],
}
_MARKUP = re.compile(r"</?(?:p|br|div|span|a|code|pre|ul|ol|li|strong|em|h[1-6]|table)\b[^<>]*>", re.IGNORECASE)


@dataclass(slots=True)
class Questions:
    """Questions in the form that `interank generate` reads, in the order of the tables."""

    rows: list[dict[str, Any]]
    columns: Columns
    sample: Mapping[str, Any]
    markup: bool
    """Whether texts are HTML."""
    counts: Counter[str] = field(default_factory=Counter)
    prefixed: bool = False
    """Whether answers' ids were not unique, and therefore begin with their question's id."""


def read_questions(tables: Sequence[Table], mapping: Mapping[str, str], *, markup: bool | None = None) -> Questions:
    """Read the questions of tables that have the same columns.

    Args:
        tables: The tables.
        mapping: Columns by role, as given by the user.
        markup: Whether texts are HTML; None detects it.

    Raises:
        InputError: A column is missing, or a row cannot be used.
    """
    where = ", ".join(str(table.path) for table in tables)
    outer, inner = _columns(where, first_rows(tables), mapping)
    rows = Rows(tables, outer, EXAMPLE)
    counts: Counter[str] = Counter()
    questions: dict[str, dict[str, Any]] = {}
    by_text: dict[tuple[str, str], str] = {}
    for cells in rows:
        counts["rows"] += 1
        _add(questions, by_text, cells, inner, counts)
    if not questions:
        raise InputError(f"{where} has no row with a question's text; name its column with --map body=COLUMN")
    prefixed = _prefix_answers(questions)
    _name_answers(questions)
    listed = list(questions.values())
    counts |= Counter(
        questions=len(listed),
        answers=sum(len(row["answers"]) for row in listed),
        accepted=sum(bool(answer["accepted"]) for row in listed for answer in row["answers"]),
        voted=sum(bool(answer["score"]) for row in listed for answer in row["answers"]),
        unanswered=sum(not row["answers"] for row in listed),
        declined_questions=sum(bool(row["answers"]) and all(map(declined, row["answers"])) for row in listed),
    )
    is_html = _has_markup(listed) if markup is None else markup
    return Questions(listed, _joined(outer, inner), listed[0], is_html, counts, prefixed)


def declined(answer: Mapping[str, Any]) -> bool:
    """Whether an answer is marked as not accepted and has no votes in its favour."""
    return answer["accepted"] is False and answer["score"] <= 0


def _columns(where: str, sample: list[Mapping[str, Any]], mapping: Mapping[str, str]) -> tuple[Columns, Columns | None]:
    """The columns of the table, and those of its answers if these are objects."""
    if not sample:
        raise InputError(f"{where} has no row that can be read; name a table with questions and answers")
    names = names_in(sample)
    mapping = named_as_roles(mapping, _QUESTION)
    first = assign(where, names, [role._replace(required=False) for role in _QUESTION[:3]], {}).of
    answers = mapping.get("answers") or first.get("answers", "")
    lists = [_list(row.get(answers)) for row in sample]
    objects = [part for parts in lists for part in parts or () if isinstance(part, Mapping)]
    roles = (*_QUESTION, *(_NESTED if any(parts is not None for parts in lists) else _FLAT), *_ABOUT)
    if not (mapping.get("title") or ("title" in first and "title" not in mapping)):
        # Without a title the body is required.
        roles = tuple(role._replace(required=True) if role.name == "body" else role for role in roles)
    if not objects:
        return assign(where, names, roles, mapping), None
    inner_mapping = {role: name for role, name in mapping.items() if role in _INNER_ROLES}
    outer_mapping = {role: name for role, name in mapping.items() if role not in _INNER_ROLES}
    faults = []
    columns: list[Columns] = []
    for arguments in (
        (where, names, roles, outer_mapping),
        (f"{where}: in {answers}", names_in(objects), _IN_ANSWER, inner_mapping),
    ):
        try:
            columns.append(assign(*arguments))
        except InputError as fault:
            faults.append(str(fault))
    if faults:
        raise InputError("\n".join(faults))
    return columns[0], columns[1]


def _list(value: Any) -> list[Any] | None:
    """The answers as a list; None for a text, a missing value, and a fault, which is reported when the row is read."""
    try:
        return None if values.is_missing(value) else values.listed(value)
    except ValueError:
        return None


def _add(
    questions: dict[str, dict[str, Any]],
    by_text: dict[tuple[str, str], str],
    cells: Cells,
    inner: Columns | None,
    counts: Counter[str],
) -> None:
    """Add a row's question, or only its answers if an earlier row had the question."""
    title, body = cells.text("title"), cells.text("body")
    if not (title or body):
        counts["empty_questions"] += 1
        return
    own_id = cells.identifier("question_id")
    name = own_id if own_id is not None else by_text.setdefault((title, body), str(len(by_text) + 1))
    answers = list(_answers(cells, inner, counts))
    row = questions.setdefault(name, _question(cells, name, title, body))
    if (row["title"], row["body"]) != (title, body):
        raise cells.fault(f"an earlier row has the question {name!r} with another text, and an id has one text")
    accepted = cells.identifier("accepted_answer_id")
    for answer in answers:
        if accepted is not None and answer["answer_id"] == accepted:
            answer["accepted"] = True
    row["answers"] += answers
    cells.rows.keep_sample(row)


def _question(cells: Cells, name: str, title: str, body: str) -> dict[str, Any]:
    return {
        "question_id": name,
        "title": title,
        "body": body,
        "score": cells.read("score", values.votes) or 0,
        "tags": list(cells.read("tags", values.tags) or ()),
        "thread": cells.identifier("thread"),
        **{role.name: cells.text(role.name) for role in _ABOUT},
        "answers": [],
    }


def _answers(cells: Cells, inner: Columns | None, counts: Counter[str]) -> Iterator[dict[str, Any]]:
    """The answers in a row."""
    value = cells.columns.value(cells.values, "answers")
    if values.is_missing(value):
        return
    listed = cells.read("answers", values.listed)
    for part in [value] if listed is None else listed:
        if isinstance(part, Mapping) and inner is not None:
            within = cells.inner(part, inner)
            answer = _answer(within, within.text("answer_body"))
        elif listed is None:
            answer = _answer(cells, cells.text("answers"))
        elif isinstance(part, str):
            answer = _answer(cells.inner({}, Columns({})), part.strip())
        elif values.is_missing(part):
            continue
        else:
            raise cells.fault(f"{cells.columns.of['answers']}: {part!r:.60} is neither a text nor an object")
        if answer["body"]:
            yield answer
        else:
            counts["empty_answers"] += 1


def _answer(cells: Cells, body: str) -> dict[str, Any]:
    return {
        "answer_id": cells.identifier("answer_id"),
        "body": body,
        "score": cells.read("answer_score", values.votes) or 0,
        "accepted": cells.read("accepted", values.truth),
        **{role.name: cells.text(role.name) for role in _ABOUT},
    }


def _prefix_answers(questions: Mapping[str, dict[str, Any]]) -> bool:
    """Put the question's id before all answers' ids, if an answer's id is another post's too."""
    ids = [answer["answer_id"] for row in questions.values() for answer in row["answers"] if answer["answer_id"]]
    if len(set(ids)) == len(ids) and not questions.keys() & set(ids):
        return False
    for name, row in questions.items():
        for answer in row["answers"]:
            if answer["answer_id"]:
                answer["answer_id"] = f"{name}#{answer['answer_id']}"
    return True


def _name_answers(questions: Mapping[str, dict[str, Any]]) -> None:
    """Name answers without an id, or with a repeated one, by their position."""
    for name, row in questions.items():
        taken: set[str] = set()
        for place, answer in enumerate(row["answers"], start=1):
            if answer["answer_id"] is None or answer["answer_id"] in taken:
                answer["answer_id"] = (
                    f"{name}#{place}" if answer["answer_id"] is None else f"{answer['answer_id']}.{place}"
                )
            taken.add(answer["answer_id"])


def _has_markup(rows: Sequence[Mapping[str, Any]]) -> bool:
    texts = (text for row in rows[:100] for text in (row["body"], *(answer["body"] for answer in row["answers"])))
    return any(_MARKUP.search(text) for text in texts)


def _joined(outer: Columns, inner: Columns | None) -> Columns:
    """All columns together; those of answers are named by their path."""
    if inner is None:
        return outer
    answers = outer.of["answers"]
    of = {role if role in _INNER_ROLES else f"answer_{role}": f"{answers}[].{name}" for role, name in inner.of.items()}
    unused = (*outer.unused, *(f"{answers}[].{name}" for name in inner.unused))
    return Columns({**outer.of, **of}, outer.told | inner.told, unused)
