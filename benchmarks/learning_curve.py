"""What more judgments are worth to the starter: nDCG@10 on held-out sites after one pass over 375 to 6,000 pairs.

    python benchmarks/learning_curve.py --work DIR --judgments DIR
    python benchmarks/learning_curve.py --work DIR --judgments DIR --points 375 --steps 2 --questions 4

Recipe and judgments are the starter's. A point has whole questions, a sample that its seed draws, up to so many pairs;
375 and 1,500 pairs are learned from three seeds, each with its own sample, weights and order. Every adapter orders the
candidates of the same questions of `held_out.py`'s `sites`, on which nothing was chosen. Hours on two cores; what is
trained or ranked is kept, so that it goes on where it was ended, and each end draws what there is:
`learning_curve.svg`, `learning_curve.md` and `learning_curve.json` in the work folder.

Intervals are of the questions, 95% bootstrap, a point's seeds averaged; `spread` is between the seeds' means.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import held_out
import numpy
import torch
from compare import measured
from compare_report import ALONE, values_of
from distill_quality import SEED, Site
from rerank_rivals import processor

from interank.artifact import Artifact, create, model_digest
from interank.ir.significance import Sample
from interank.judgments import by_question, read_judgments, write_judgments
from interank.ledger import Ledger
from interank.plots.drawing import ink, new_axes, rendered, series_colour
from interank.recipe import load_recipe
from interank.reranking.fitting import Candidates, fused_run
from interank.reranking.reranker import Reranker
from interank.resources import resource_dir
from interank.stages import distill
from interank.tasks.judge.recipe import DistillJudge

POINTS = (375, 750, 1500, 3000, 6000)
SEEDS: Mapping[int, Sequence[int]] = {375: (0, 1, 2), 1500: (0, 1, 2)}
"""Others have the first alone."""
QUESTIONS = 100


def main() -> None:
    """Train, rank and draw, point by point."""
    options = arguments()
    torch.set_num_threads(options.threads)
    options.work.mkdir(parents=True, exist_ok=True)
    site = held_out.load("sites", options.judgments, options.questions)
    for pairs in options.points:
        for seed in SEEDS.get(pairs, (0,)):
            if values(options, site, pairs, seed) is None:
                rank(trained(options, pairs, seed), ledger_of(options, pairs, seed), site, options.precision)
            draw(options, site)


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="adapters, scores, picture; kept")
    parser.add_argument("--judgments", type=Path, required=True, metavar="DIR", help="what the starter learned")
    parser.add_argument("--recipe", default="distill/starter", help="the starter's")
    parser.add_argument("--points", type=lambda text: [int(each) for each in text.split(",")], default=list(POINTS))
    parser.add_argument("--steps", type=int, help="stop each training after so many, to try it")
    parser.add_argument("--questions", type=int, default=QUESTIONS, help="of the held-out sites")
    parser.add_argument(
        "--precision", choices=("float32", "bfloat16"), default="float32", help="of training and ranking"
    )
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def name_of(options: argparse.Namespace, pairs: int, seed: int) -> str:
    """What a point's outputs are called."""
    parts = [f"{pairs}-{seed}", *([options.precision] if options.precision != "float32" else [])]
    return "-".join([*parts, *([f"{options.steps}-steps"] if options.steps else [])])


def ledger_of(options: argparse.Namespace, pairs: int, seed: int) -> Ledger:
    """A point's scores."""
    return Ledger(options.work / f"ranked-{name_of(options, pairs, seed)}.jsonl")


def trained(options: argparse.Namespace, pairs: int, seed: int) -> Artifact:
    """The adapter of one point; what is there is used, and what was begun is gone on with."""
    steps = [f"trainer.max_steps={options.steps}"] if options.steps else []
    # The adapter is the last one: trials on the way would only take time.
    given = [f"judgments={sample_of(options, pairs, seed)}", f"seed={seed}", "validation.questions=0", *steps]
    given.append(f"precision={options.precision}")
    recipe = load_recipe(options.recipe, given, stage="distill")
    if not isinstance(recipe, DistillJudge):
        raise SystemExit(f"{options.recipe} was found to be no judge's recipe; name one with --recipe")
    return distill.run(recipe, options.work / f"trained-{name_of(options, pairs, seed)}", existing="resume")


def sample_of(options: argparse.Namespace, pairs: int, seed: int) -> Path:
    """Judgments of a seeded sample of whole questions, the last cut where the pairs are full."""
    content = {"judgments": str(options.judgments), "pairs": pairs, "seed": seed}
    place = create(
        options.work / f"judgments-{pairs}-{seed}", "judgments", recipe=content, inputs={}, existing="resume"
    )
    if isinstance(place, Artifact):
        return place.path
    questions = by_question(read_judgments(options.judgments, "train"))
    random.Random(seed).shuffle(questions)
    kept = [item for items in questions for item in items][:pairs]
    if len(kept) < pairs:
        raise SystemExit(f"{options.judgments} has {len(kept)} pairs to learn from, fewer than {pairs}; leave it out")
    write_judgments(kept, place.folder)
    return place.finish(seed=seed, counts={"judgments": len(kept)}).path


def rank(adapter: Artifact, ledger: Ledger, site: Site, precision: str) -> None:
    """Score the candidates of all questions, those that are there left out."""
    model = model_digest(adapter.path)
    done = {row["query_id"] for row in ledger.rows() if row["model"] == model}
    waiting = [query for query in held_out.reachable(site) if query.query_id not in done]
    if waiting:
        reranker = Reranker(adapter.path, precision="bfloat16" if precision == "bfloat16" else "exact")
        for query in waiting:
            row = measured(lambda asked, texts: [i.as_row() for i in reranker.graded(asked, texts)], site, query)
            ledger.append([row | {"model": model}])


def values(options: argparse.Namespace, site: Site, pairs: int, seed: int) -> Any | None:
    """nDCG@10 of each question; None before all are ranked."""
    rows = {row["query_id"]: row["scores"] for row in ledger_of(options, pairs, seed).rows()}
    found = []
    for query in held_out.reachable(site):
        if query.query_id not in rows:
            return None
        first = site.candidates.scores(query.query_id)
        ours = tuple(rows[query.query_id][doc_id] for doc_id in first)
        found.append(Candidates(query.query_id, tuple(first), ours, tuple(first.values())))
    return values_of(site, fused_run(found, ALONE))


def draw(options: argparse.Namespace, site: Site) -> None:
    """The picture, the table and the figures of the points that are there."""
    sample = Sample([len(site.queries)], seed=SEED)
    [bm25] = sample.means(values_of(site, site.candidates)[:, None])
    points = []
    for pairs in options.points:
        known = [
            (seed, of) for seed in SEEDS.get(pairs, (0,)) if (of := values(options, site, pairs, seed)) is not None
        ]
        if known:
            [mean] = sample.intervals(numpy.mean([of for _, of in known], axis=0)[:, None])
            seeds = {seed: round(float(of.mean()), 4) for seed, of in known}
            point = {"pairs": pairs, "mean": round(mean.mean, 4), "low": round(mean.low, 4)}
            points.append({**point, "high": round(mean.high, 4), "seeds": seeds})
    figures = {
        "machine": processor(),
        "questions": len(site.queries),
        "steps": options.steps,
        "precision": options.precision,
        "BM25": round(float(bm25), 4),
        "points": points,
    }
    (options.work / "learning_curve.json").write_text(json.dumps(figures, indent=2) + "\n", "utf-8")
    lines = ["| pairs | nDCG@10 [95%] | seeds |", "|---|---|---|", f"| BM25 | {bm25:.3f} | |"]
    for point in points:
        of = ", ".join(f"{mean:.3f}" for mean in point["seeds"].values())
        lines.append(f"| {point['pairs']:,} | {point['mean']:.3f} [{point['low']:.3f}, {point['high']:.3f}] | {of} |")
    text = "\n".join(lines) + "\n"
    (options.work / "learning_curve.md").write_text(text, "utf-8")
    (options.work / "learning_curve.svg").write_text(picture(points, float(bm25)), "utf-8")
    print(text, flush=True)


def picture(points: Sequence[Mapping[str, Any]], bm25: float) -> str:
    """The curve with its intervals, each seed, and BM25, in the colours of the reports."""
    axes = new_axes()
    pairs, middle = [point["pairs"] for point in points], [point["mean"] for point in points]
    reach = [[p["mean"] - p["low"] for p in points], [p["high"] - p["mean"] for p in points]]
    axes.errorbar(pairs, middle, yerr=reach, color=series_colour(0), marker="o", markersize=3, capsize=2)
    for point in points:
        axes.plot(
            [point["pairs"]] * len(point["seeds"]), [*point["seeds"].values()], ".", color=ink("muted"), markersize=3
        )
    axes.axhline(bm25, color=series_colour(1), linestyle="--")
    axes.annotate("BM25", (0.99, bm25), xycoords=("axes fraction", "data"), ha="right", va="bottom", color=ink("muted"))
    axes.set_xscale("log")
    axes.set_xticks(pairs, [f"{each:,}" for each in pairs])
    axes.minorticks_off()
    axes.set_xlabel("judged pairs")
    axes.set_ylabel("nDCG@10")
    opening, rest = rendered(axes, "learning-curve").split(">", 1)
    house = (resource_dir("interank") / "pages" / "assets" / "house.css").read_text("utf-8")
    colours = house[house.index("{") + 1 : house.index("}")]
    return f"{opening}><style>svg{{font-family:sans-serif;{' '.join(colours.split())}}}</style>{rest}"


if __name__ == "__main__":
    main()
