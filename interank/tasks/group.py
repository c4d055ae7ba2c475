"""group: a window of documents in one prompt, and a grade for each of them, after GroupRank (arXiv 2511.11653)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from interank import distributed, judging
from interank.engines.prompts import Prompt
from interank.engines.protocol import Engine, LabelLogits, Sampling
from interank.engines.soundness import require_completions, require_labels
from interank.errors import ArtifactError, InputError, ModelError
from interank.ir.measures import DEFAULT_MEASURE
from interank.judged_questions import JudgedQuestions
from interank.judgments import JudgedList
from interank.modes import Mode
from interank.settings import ListwiseRecipe, PromptSettings, WindowPromptSettings
from interank.settings.base import validated
from interank.tasks.documents import AnyDocument, as_documents, as_query, by_scores
from interank.tasks.judged_lists import in_windows, order_values, validation_lists
from interank.tasks.list_columns import check as check
from interank.tasks.list_columns import shown as shown
from interank.tasks.list_rankers import WindowRanker
from interank.tasks.list_trials import JudgedListsTrial
from interank.tasks.ranker_settings import RankerSettings
from interank.tasks.ranks import ListCounts, Ranking, UngradedRanker
from interank.tasks.recipes import InstructedRecipe, RlLists, TriedRecipe
from interank.tasks.window_prompts import WindowEncoder
from interank.tasks.windows import Window, follow, plan, showings
from interank.types import GRADES, Document, Example, Query, RankedDocument
from interank.wording import counted

if TYPE_CHECKING:
    from interank.artifact import Artifact, Workplace
    from interank.engines.models import ModelFiles
    from interank.inputs import Input
    from interank.tasks.list_policy import ListPolicy
    from interank.tasks.protocol import CardFacts
    from interank.tasks.sft_data import SftTrainingData

SUBJECT = "groups"
_LINE = re.compile(r"\[(\d{1,4})\] ([012])")


class DistillGroup(InstructedRecipe, TriedRecipe):
    """Learn to grade windows of documents, for `mode: listwise`."""

    shorter: ClassVar[tuple[str, ...]] = ("window", "prompt.max_length")
    ranks_in: ClassVar[tuple[Mode, ...]] = ("listwise",)
    trained_on: ClassVar[str] = "windows of documents with a grade for each"
    task: Literal["group"]
    """What is learned: a grade for each document of a window."""
    window: int = Field(20, ge=1)
    """The most documents of a prompt; a question with more gives several prompts."""
    shuffles: int = Field(1, ge=1)
    """How often a question's documents are shuffled and cut into windows, drawn by `seed`."""
    prompt: WindowPromptSettings = WindowPromptSettings()
    """The student's prompt."""


class RlGroup(RlLists):
    """Reward grades of windows, by GRPO; prompts are those of the adapter."""

    task: Literal["group"]
    """What is learned: a grade for each document of a window."""


def question(query: str, documents: Sequence[str], instruction: str = "") -> str:
    """The text of the prompt about a window of documents."""
    listed = "\n\n".join(f"[{number}] {text}" for number, text in enumerate(documents, start=1))
    instructed = f"\nInstruction for the judgment:\n{instruction}\n" if instruction else ""
    return (
        f"Judge how much each of {counted(len(documents), 'document')}, led by its number in brackets, helps to answer "
        f"a question. The grades are:\n{judging.SCALE}{instructed}\nQuestion:\n{query}\n\nDocuments:\n\n{listed}\n\n"
        f"The question again:\n{query}\n\n"
        "Write a line for each document, in their order: its number in brackets and its grade, like `[1] 2`."
    )


class GroupEncoder(WindowEncoder[WindowPromptSettings]):
    """Prompts that ask for the grades of a window, and the answers: a line `[1] 2` for each document, in order."""

    def chat(self, query: str, documents: Sequence[str], instruction: str = "") -> list[dict[str, str]]:
        """See `WindowEncoder`."""
        return [{"role": "user", "content": question(query, documents, instruction)}]

    def shown(self, document: Document) -> str:
        """See `WindowEncoder`; on one line, so that a document cannot begin another one."""
        return " ".join(document.full_text.split())

    def answer_tokens(self, size: int, reasoning_tokens: int) -> int:
        """See `WindowEncoder`."""
        return len(self.answer([0] * size)) + reasoning_tokens

    def answer(self, grades: Sequence[int]) -> tuple[int, ...]:
        """The answer's ids with its end-of-turn."""
        return (*self._lines(grades), self.end)

    def begun(self, grades: Sequence[int]) -> tuple[int, ...]:
        """The ids of an answer that has these grades, up to where the next grade is read."""
        return (*self._lines(grades), *self._lead(len(grades)))

    def _lines(self, grades: Sequence[int]) -> tuple[int, ...]:
        lines = [(*self._lead(place), self.encoder.label_ids[grade]) for place, grade in enumerate(grades)]
        return tuple(index for line in lines for index in line)

    def _lead(self, place: int) -> tuple[int, ...]:
        """The ids before a place's grade.

        Raises:
            ModelError: A grade is another token there than in a judge's answer.
        """
        begin = ("\n" if place else "") + f"[{place + 1}] "
        written = [self.encoder.plain(f"{begin}{int(grade)}") for grade in GRADES]
        lead, labels = written[0][:-1], tuple(ids[-1] for ids in written)
        if {ids[:-1] for ids in written} != {lead} or labels != self.encoder.label_ids:
            raise ModelError(f"this tokenizer does not write a grade behind {begin!r} as one token; use another model")
        return lead


def parse(text: str, size: int) -> tuple[int, ...] | None:
    """Read an answer about `size` documents; None unless it grades each of them once, in order, and nothing else."""
    lines = [_LINE.fullmatch(line.strip()) for line in text.strip().splitlines()]
    graded = [(int(line[1]), int(line[2])) for line in lines if line is not None]
    whole = len(graded) == len(lines) and [number for number, _ in graded] == list(range(1, size + 1))
    return tuple(grade for _, grade in graded) if whole else None


@dataclass(frozen=True, slots=True)
class WindowAnswer:
    """A model's answer about a window: its text, whether that can be read, and each document's label logits."""

    text: str
    readable: bool
    labels: Sequence[LabelLogits]


def read(
    engine: Engine,
    encoder: GroupEncoder,
    prompts: Sequence[tuple[Prompt, int]],
    temperature: float = 0.0,
    seed: int = 0,
) -> list[WindowAnswer]:
    """The answers to prompts, each with its number of documents, and each grade's logits after the grades before it.

    All places are read in one call; an answer that cannot be read is written anew in its form, one call for each place.
    """
    most = max((size for _, size in prompts), default=0)
    sampling = Sampling(encoder.answer_tokens(most, 0), temperature, seed)
    written = engine.generate([prompt for prompt, _ in prompts], sampling, end=encoder.end)
    require_completions(written)
    texts = [encoder.encoder.text(item.ids) for item in written]
    parsed = [parse(text, size) for text, (_, size) in zip(texts, prompts, strict=True)]
    grades: list[list[int]] = [list(each or ()) for each in parsed]

    def logits(places: Sequence[tuple[int, int]]) -> list[LabelLogits]:
        # A window's places share all of its prompt, which is then read once.
        behind = [Prompt(prompts[number][0].ids, encoder.begun(grades[number][:place]), ()) for number, place in places]
        labels = engine.label_logits(behind, encoder.encoder.label_ids) if behind else []
        require_labels(labels)
        return labels

    for place in range(most):
        unwritten = [
            (number, place) for number, (_, size) in enumerate(prompts) if parsed[number] is None and place < size
        ]
        for (number, _), label in zip(unwritten, logits(unwritten), strict=True):
            grades[number].append(int(judging.most_probable(label.logits)))
    labels = iter(logits([(number, place) for number, (_, size) in enumerate(prompts) for place in range(size)]))
    return [
        WindowAnswer(text, known is not None, [next(labels) for _ in range(size)])
        for text, known, (_, size) in zip(texts, parsed, prompts, strict=True)
    ]


class GroupTrial(JudgedListsTrial[GroupEncoder]):
    """A trial of a student or a policy on the same judged lists each time, ranked as the reranker would."""

    def __call__(self, model: Any) -> dict[str, float]:
        """nDCG@10 by the judged grades, the share of grades equal to them, and the share of readable answers."""
        from interank.engines.transformers import TransformersEngine

        engine = TransformersEngine(model)
        prompts = [(prompt, len(item.documents)) for prompt, item in zip(self.prompts, self.lists, strict=True)]
        answers = distributed.dealt(prompts, lambda own: read(engine, self.encoder, own))
        self.keep_answers([one.text for one in answers])
        judged = [item.grades for item in self.lists]
        scores = [[judging.score(each.logits) for each in one.labels] for one in answers]
        orders = [sorted(range(len(row)), key=[-score for score in row].__getitem__) for row in scores]
        right = [
            fmean(judging.most_probable(each.logits) == grade for each, grade in zip(one.labels, own, strict=True))
            for one, own in zip(answers, judged, strict=True)
        ]
        return {
            **self.by_half(DEFAULT_MEASURE, order_values(orders, judged, DEFAULT_MEASURE)),
            **self.by_half("grade_accuracy", right),
            "format_rate": fmean(one.readable for one in answers),
        }


def inputs(recipe: DistillGroup) -> Sequence[Input]:
    """The judgments and the student."""
    from interank.inputs import judgments
    from interank.tasks.students import student

    entries = [student(recipe.student, PromptSettings(), recipe.task)]
    return [*entries, judgments(recipe.judgments)] if recipe.judgments else entries


def training_data(recipe: DistillGroup, student: ModelFiles, place: Workplace) -> SftTrainingData:
    """Each question's documents, cut into windows.

    Raises:
        InputError: A window does not fit into a prompt.
    """
    from interank.engines.models import load_tokenizer
    from interank.tasks.sft_data import SftTrainingData, instructed_counts, perhaps_without
    from interank.training.rows import ROWS, Group, Row
    from interank.training.sft import SftSettings
    from interank.training.stored_groups import stored_together

    folder, seed, tries = Path(str(recipe.judgments)), recipe.seed, recipe.validation
    questions = JudgedQuestions(folder, "train")
    summary = questions.summary
    prompt = recipe.prompt.learned_from(item.query for item in chain.from_iterable(questions))
    encoder = GroupEncoder.of(load_tokenizer(student), prompt)

    def as_shown(item: Example) -> Example:
        query = perhaps_without(item.query, recipe.without_instruction, seed)
        return replace(item, query=query, weight=summary.weight(item.weight))

    def row(item: JudgedList) -> Row:
        ids = encoder.prompt(item.query, item.documents, reasoning_tokens=0).prompt.ids
        return Row("group", ids, encoder.answer(item.grades), weight=fmean(item.weights or (1.0,)))

    def groups_of(questions: Iterator[list[Example]]) -> Iterator[Group]:
        for items in questions:
            shown = [as_shown(item) for item in items]
            yield tuple(map(row, in_windows(shown, window=recipe.window, times=recipe.shuffles, seed=seed)))

    groups = stored_together(ROWS, questions, summary.question_sizes.total(), groups_of, place.work)
    validation = validation_lists(folder, documents=recipe.window, questions=tries.questions, seed=seed)
    return SftTrainingData(
        recipe,
        student,
        encoder.encoder,
        groups,
        SftSettings(recipe.trainer, seed, tries, shared_prefix=recipe.shared_prefix, shorter=recipe.shorter),
        counts={
            "examples": summary.examples,
            "questions": len(groups),
            "rows": groups.members,
            "tokens": groups.tokens,
            "validation_lists": len(validation),
            **instructed_counts(prompt, (as_shown(item).query for item in chain.from_iterable(questions))),
        },
        notes={"prompt": prompt.model_dump(mode="json"), "prompt_hash": wording(prompt)},
        card=card,
        trial=GroupTrial(encoder, validation, tokens=0) if validation else None,
    )


def wording(settings: WindowPromptSettings) -> str:
    """Identifies the wording of prompt and answer, 16 hexadecimal digits."""
    text = question("{query}", ["{first}", "{second}"], settings.shown_instruction)
    return hashlib.sha256(f"{text}\0{_LINE.pattern}".encode()).hexdigest()[:16]


def card(made: CardFacts) -> Any:
    """The card of an adapter."""
    from interank import cards
    from interank.tasks.list_cards import card_of_windows

    counts = made.counts
    figures = {f"eval_{DEFAULT_MEASURE}": DEFAULT_MEASURE, "eval_grade_accuracy": "grade accuracy"}
    on = "On lists of held-back questions, by their grades."
    return card_of_windows(
        made,
        title="A reranker that grades windows",
        does=" and gives each document a grade: 0 irrelevant, 1 partially relevant, 2 relevant. A document's score "
        "depends on what is read with it.",
        results="grades",
        data=f"{counts['examples']} judgments of {counts['questions']} questions, in {counts['rows']} windows.",
        trained=[cards.validation(made.history, made.pictures, figures, on)],
    )


def policy(recipe: RlGroup, adapter: Artifact, base: ModelFiles, work: Path) -> ListPolicy:
    """The policy: windows to train on and to validate with, in the adapter's prompts.

    Raises:
        InputError: No query has documents of two grades, or a completion has no room for its grades.
    """
    from interank.engines.models import load_tokenizer
    from interank.tasks.list_policy import list_policy

    settings = validated(WindowPromptSettings, adapter.manifest["prompt"], f"{adapter.path}: prompt")
    encoder = GroupEncoder.of(load_tokenizer(base), settings)
    does = "grades the documents of a window together"
    return list_policy(recipe, adapter, work, base=base, encoder=encoder, trial=GroupTrial, does=does)


class GroupRanker(WindowRanker[GroupEncoder], UngradedRanker):
    """A reranker by grades given in windows; a document's logits are the mean of those in its windows."""

    kind = "a reranker that grades windows"

    def ordered(self, query: Query, documents: Sequence[Document], first_stage: Sequence[float] | None) -> Ranking:
        """See `OneModel`."""
        return by_scores(query.query_id, list(self.graded(query, documents)))

    def graded(self, query: str | Query, documents: Sequence[AnyDocument]) -> Iterator[RankedDocument]:
        """See `Ranks`."""
        one_query, candidates = as_query(query), as_documents(documents)
        labels_of: list[list[LabelLogits]] = [[] for _ in candidates]
        cuts = [0] * len(candidates)

        def logits(place: int) -> tuple[float, ...]:
            return tuple(map(fmean, zip(*(labels.logits for labels in labels_of[place]), strict=True)))

        def answer(windows: list[Window]) -> list[Window]:
            views = showings(windows, self.settings, one_query.query_id)
            shown_windows = [
                self.encoder.prompt(one_query, [candidates[p] for p in v.shown], reasoning_tokens=0) for v in views
            ]
            prompts = [(one.prompt, len(one.cuts)) for one in shown_windows]
            answers = read(self.engine, self.encoder, prompts, self.settings.temperature, self.settings.seed)
            self._counts += ListCounts(len(answers), sum(not one.readable for one in answers))
            for view, one, prompt in zip(views, answers, shown_windows, strict=True):
                for place, labels, cut in zip(view.shown, one.labels, prompt.cuts, strict=True):
                    labels_of[place].append(labels)
                    cuts[place] = max(cuts[place], cut)
            return [tuple(sorted(window, key=lambda place: -judging.score(logits(place)))) for window in windows]

        with self.asking(one_query):
            follow(plan(len(candidates), self.settings), answer)
            # A single document needs no order, but has a grade.
            if alone := [(place,) for place, labels in enumerate(labels_of) if not labels]:
                answer([*alone])
        for place, (document, labels, cut) in enumerate(zip(candidates, labels_of, cuts, strict=True)):
            own, mass = logits(place), fmean(each.mass for each in labels)
            likely, grade = judging.probabilities(own), judging.most_probable(own)
            yield RankedDocument(document.doc_id, judging.score(own), grade, likely, mass, truncated=cut)


def takes(settings: RankerSettings) -> bool:
    """True where the model is an adapter that was trained for this task."""
    from interank.tasks.sources import is_adapter_of

    return is_adapter_of(settings, "group")


def open_ranker(settings: RankerSettings) -> GroupRanker:
    """A model that grades windows.

    Raises:
        InterankError: The wording, the mode, the engine or the prompt does not fit the model, or it is not available.
    """
    from interank.engines.models import load_tokenizer
    from interank.tasks.sources import find_source, open_engine

    if settings.mode != "listwise":
        raise ArtifactError(f"{settings.model} was trained on {DistillGroup.trained_on}; use it in mode listwise")
    lists = settings.lists or ListwiseRecipe()
    if lists.prompt is not None:
        raise InputError(f"lists: {settings.model} reads the prompts that it was trained on; leave prompt out")
    source = find_source(str(settings.model), settings.base)
    prompt_settings = validated(WindowPromptSettings, source.trained_on("group"), f"{source.name}: prompt")
    source.check_wording(wording(prompt_settings))
    encoder = GroupEncoder.of(load_tokenizer(source.tokenizer), prompt_settings)
    engine = open_engine(source, settings, vocabulary=encoder.encoder.vocabulary, length=prompt_settings.max_length)
    if lacking := " and ".join(sorted({"token_ids", "label_logits"} - engine.abilities)):
        raise InputError(
            f"engine {settings.engine} lacks {lacking}, from which grades are read; use transformers or vllm"
        )
    return GroupRanker(engine, encoder, lists)
