"""What judge, order and group learn of the same questions from as many tokens, on the tests' tiny model and rule.

    python benchmarks/tasks.py --tokens 75000 --seeds 3 [--json FILE]

Run it from the repository's root. One tiny base has read the prompts of all three tasks, with grades and orders that
say nothing; each task's adapter then learns from questions of four documents, of which one helps and one is about the
matter, until its rows hold so many tokens: prompts and answers as they are written, what rows share counted anew.
Ranked are 100 other questions. Intervals are 95% percentile bootstrap over questions, of means over the seeds;
differences are paired by question.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy
import torch

from interank.artifact import Workplace, create, open_artifact
from interank.engines.models import find_model, load_model, load_tokenizer
from interank.engines.prompts import PromptEncoder
from interank.ir.measures import score_run
from interank.judgments import by_question, write_judgments
from interank.reranking.reranker import Reranker
from interank.settings import ListPromptSettings, PromptSettings
from interank.stages import distill
from interank.tasks import DISTILLED
from interank.tasks.group import GroupEncoder, question
from interank.tasks.order import ordering
from interank.tasks.order.encoder import ListEncoder
from interank.tasks.order.lists import ListExample
from interank.tasks.order.ordering import Ordering
from interank.tasks.order.orderings import write_orderings
from interank.types import GRADES, Document, Example, Judgment, Qrel, Query, Run, ScoredDoc
from tests.support import group_model, tiny
from tests.support.rule import ANIMALS
from tests.support.rule_model import batch

TASKS = ("judge", "order", "group")
RATES = (3.0e-3, 6.0e-3)
ROWS = 16
LENGTHS = {"max_length": 384, "max_query_tokens": 16, "max_document_tokens": 8}
PROMPTS = {"judge": {**LENGTHS, "max_length": 256}, "order": {**LENGTHS, "form": "direct"}, "group": LENGTHS}
_SHORT_STEPS, _FRAMED_STEPS, _WARMUP = 60, 90, 20
_RESAMPLES = 5000
_QUESTION = "Which animal barks?"
Ids = tuple[int, ...]
Asked = Callable[[Sequence[Document], Sequence[int]], list[tuple[Ids, Ids]]]


def asking(folder: Path) -> dict[str, Asked]:
    """For each task the rows, of a prompt and an answer, of a question's documents and their grades."""
    tokenizer = load_tokenizer(find_model(str(folder)))
    judges = PromptEncoder(tokenizer, PromptSettings.model_validate(PROMPTS["judge"]))
    lists = ListEncoder.of(tokenizer, ListPromptSettings.model_validate(PROMPTS["order"]))
    groups = GroupEncoder.of(tokenizer, group_model.PROMPT)
    query = Query("q", _QUESTION)

    def judged(documents: Sequence[Document], grades: Sequence[int]) -> list[tuple[Ids, Ids]]:
        prompts = [judges.prompt(query, document, answer_tokens=16, order="grade_first").ids for document in documents]
        answers = [judges.answer(Judgment("", GRADES[grade]), reasoning_tokens=0) for grade in grades]
        return list(zip(prompts, answers, strict=True))

    def ordered(documents: Sequence[Document], grades: Sequence[int]) -> list[tuple[Ids, Ids]]:
        prompt = lists.prompt(query, documents, reasoning_tokens=0).prompt.ids
        return [(prompt, lists.answer(best_order(grades), "", reasoning_tokens=0))]

    def grouped(documents: Sequence[Document], grades: Sequence[int]) -> list[tuple[Ids, Ids]]:
        return [(groups.prompt(query, documents, reasoning_tokens=0).prompt.ids, groups.answer(grades))]

    return {"judge": judged, "order": ordered, "group": grouped}


def best_order(grades: Sequence[int]) -> list[int]:
    """Places by falling grades, equal ones as they stand."""
    return sorted(range(len(grades)), key=lambda place: -grades[place])


def make_base(folder: Path) -> Path:
    """A model that names the animals of a window, and writes each task's answers with grades that say nothing."""
    said = [f"{'' if number == 1 else chr(10)}[{number}] {animal}" for animal in ANIMALS for number in range(1, 5)]
    asked = [question("", [""] * 4), ordering.render("", [""] * 4, "direct")[0]["content"]]
    tiny.tiny_model(folder, hidden=128, texts=[_QUESTION, *(f" {animal}" for animal in ANIMALS), *said, *asked])
    rows_of, files = asking(folder), find_model(str(folder))
    plain = PromptEncoder(load_tokenizer(files), PromptSettings())
    model: Any = load_model(files).to("cpu").float().train()
    torch.manual_seed(0)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.08)
    rng = random.Random(0)
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.98))
    for step in range(_SHORT_STEPS + _FRAMED_STEPS):
        short = step < _SHORT_STEPS
        rows: list[tuple[Ids, Ids]] = []
        while len(rows) < (48 if short else 18):
            found = rng.sample(ANIMALS, 4)
            told = plain.plain("\n".join(f"[{number}] {animal}" for number, animal in enumerate(found, 1)))
            if short:
                listed = "\n\n".join(f"[{number}] {animal}" for number, animal in enumerate(found, 1))
                rows.append((plain.plain(f"{listed}\n\n{_QUESTION}\n"), (*told, plain.end)))
                continue
            documents = [Document(str(place), animal) for place, animal in enumerate(found)]
            grades = [int(grade) for grade in rng.choices(GRADES, k=4)]
            graded = rows_of[TASKS[len(rows) // 6 % 3]](documents, grades)
            named = [(*told, plain.end)] if len(graded) == 1 else [(*plain.plain(a), plain.end) for a in found]
            pairs = zip(graded, named, strict=True)
            rows += [(prompt, own if rng.random() < 0.5 else name) for (prompt, own), name in pairs]
        for group in optimizer.param_groups:
            group["lr"] = (3e-3 if short else 1e-3) * min(1.0, (step + 1) / _WARMUP)
        model(**batch([(list(ids), list(answer)) for ids, answer in rows])).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    model.eval().save_pretrained(folder)
    return folder


def judgments_of(examples: Sequence[Example], out: Path) -> Path:
    """An artifact of the judgments, and of each question's best order."""
    place = create(out, "judgments", recipe={}, inputs={})
    assert isinstance(place, Workplace)
    write_judgments(examples, place.folder)
    lists = []
    for items in by_question(examples):
        order = tuple(best_order([int(item.judgment.relevance) for item in items]))
        lists.append(ListExample(items[0].query, tuple(item.document for item in items), Ordering(order, "")))
    write_orderings(((item, 1.0) for item in lists), place.folder)
    return place.finish(seed=0, counts={"judgments": len(examples)}).path


def taught(task: str, base: Path, out: Path, *, tokens: int, rate: float, seed: int, asked: Asked) -> Path:
    """The task's adapter from as many questions as the tokens hold."""
    sizes = [
        sum(len(ids) + len(answer) for ids, answer in asked(_documents(items), _grades(items)))
        for items in by_question(group_model.examples(seed, queries=8))
    ]
    examples = group_model.examples(seed, queries=round(tokens / (sum(sizes) / len(sizes))))
    content: dict[str, Any] = {
        "stage": "distill",
        "task": task,
        "student": str(base),
        "judgments": judgments_of(examples, out.with_name(f"{out.name}-judgments")),
        "seed": seed,
        "prompt": PROMPTS[task],
        "lora": {"rank": 16, "alpha": 32},
        "trainer": {
            "learning_rate": rate,
            "num_train_epochs": 1,
            "per_device_train_batch_size": ROWS // (4 if task == "judge" else 1),
            "gradient_accumulation_steps": 1,
            "gradient_checkpointing": False,
            "save_strategy": "no",
            "logging_steps": 50,
        },
    }
    own = {"judge": {"mixture": {"score": 1.0}}, "order": {"shuffles": 0}, "group": {"window": 4}}
    return distill.run(DISTILLED[task].model_validate({**content, **own[task]}), out).path


def _documents(items: Sequence[Example]) -> list[Document]:
    return [item.document for item in items]


def _grades(items: Sequence[Example]) -> list[int]:
    return [int(item.judgment.relevance) for item in items]


def values(model: Path, task: str, held_out: Sequence[Example]) -> list[float]:
    """nDCG@10 of each held-out question."""
    reranker = Reranker(model, mode="score" if task == "judge" else "listwise")
    scored = [
        ScoredDoc(items[0].query.query_id, found.doc_id, found.score)
        for items in by_question(held_out)
        for found in reranker.rank(items[0].query, _documents(items))
    ]
    qrels = [Qrel(e.query.query_id, e.document.doc_id, int(e.judgment.relevance)) for e in held_out]
    per_query = score_run(qrels, Run.from_scores(scored, tag=task)).per_query["nDCG@10"]
    return [per_query[items[0].query.query_id] for items in by_question(held_out)]


def interval(found: numpy.ndarray[Any, Any]) -> list[float]:
    """The mean of questions' values and its interval."""
    drawn = numpy.random.default_rng(0).integers(0, len(found), (_RESAMPLES, len(found)))
    low, high = numpy.quantile(found[drawn].mean(1), (0.025, 0.975))
    return [round(float(each), 3) for each in (found.mean(), low, high)]


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tokens", type=int, default=75_000, help="of prompts and answers, for each training")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    options = parser.parse_args()
    held_out = group_model.examples(999, queries=100, split="validation")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        base = make_base(work / "base")
        asked = asking(base)
        for rate in RATES:
            found: dict[str, list[list[float]]] = {task: [] for task in TASKS}
            for task in TASKS:
                started, counts = time.process_time(), {}
                for seed in range(options.seeds):
                    out = work / f"{task}-{rate}-{seed}"
                    taught(task, base, out, tokens=options.tokens, rate=rate, seed=seed, asked=asked[task])
                    counts = open_artifact(out).manifest["counts"]
                    found[task].append(values(out, task, held_out))
                seeds = [round(float(numpy.mean(each)), 3) for each in found[task]]
                kept = {name: counts[name] for name in ("questions", "tokens")}
                mean = interval(numpy.mean(found[task], 0))
                seconds = round((time.process_time() - started) / options.seeds, 1)
                rows.append({"rate": rate, "task": task, "nDCG@10": mean, "seeds": seeds, **kept, "seconds": seconds})
                print(json.dumps(rows[-1]), flush=True)
            for other in TASKS[:2]:
                gain = numpy.mean(found["group"], 0) - numpy.mean(found[other], 0)
                rows.append({"rate": rate, "task": f"group - {other}", "nDCG@10": interval(gain)})
                print(json.dumps(rows[-1]), flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
