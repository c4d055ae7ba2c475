"""`data/starter` from a trained adapter: its weights in bfloat16, without its base's own tokenizer, with its sources.

    python benchmarks/starter_packed.py pack --adapter DIR --earlier DIR DIR --judgments DIR --score-only --out OUT
    python benchmarks/starter_packed.py questions --judgments DIR --out FIT
    interank evaluate evaluate/benchmark benchmark=FIT run=FIT/run.trec depth=15 adapters=OUT --out EVAL
    interank fit EVAL --into OUT

OUT is `data/starter`. `--score-only` leaves the mode `explain` out, where what the adapter writes does not hold.
`questions` writes `held_out.py`'s `fit` as a benchmark: questions of the sites that were learned from, which were not
learned themselves. INTERANK_REAL_DATA names the folder with `stackexchange/SITE`.
"""

from __future__ import annotations

import argparse
import json
import textwrap
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import held_out
import torch
from safetensors.torch import load_file, save_file

from interank.artifact import Artifact, create, open_artifact
from interank.engines.bases import find_base
from interank.ir.trec import write_run
from interank.judgments import read_judgments
from interank.ledger import write_rows
from interank.stages.pushed_files import refuse_traces
from interank.types import Example

WEIGHTS = "adapter_model.safetensors"
LEFT_OUT = ("manifest.json", "recipe.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
"""Written anew, or the base's."""
LIMITS = """
## What it is for, and what it is not

It comes with interank, so that a first ranking takes a minute: a judge of 135 million parameters, which learned from
three StackExchange sites. It reads 96 tokens of a query and 192 of a document, English only. Its grades follow votes
and all-MiniLM-L6-v2. How it ranks, beside what people use, is in benchmarks/RESULTS.md of interank. Its weights are
stored in bfloat16; those that were trained were float32. Logs and recipes of the trainings before the last are in
`earlier/`.
"""
SCORE_ONLY = """
It is score-only: it grades and refuses to explain. Explanations that a rule made were trained beside the grades, and
the sentences that it writes are whole, and rarely true of both texts (benchmarks/RESULTS.md).
"""
EXPLAINS = "- `explain`: "
"""How the line of a card begins that tells of explanations."""


def main() -> None:
    """Pack, or write the questions to fit on."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0], formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("step", choices=("pack", "questions"))
    parser.add_argument("--adapter", type=Path, metavar="DIR", help="for pack: an output of interank distill or rl")
    parser.add_argument("--earlier", type=Path, nargs="*", default=[], metavar="DIR", help="the trainings before it")
    parser.add_argument("--score-only", action="store_true", help="leave its explanations out")
    parser.add_argument("--judgments", type=Path, required=True, metavar="DIR", help="what it learned from")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    options = parser.parse_args()
    if options.step == "questions":
        questions(options.judgments, options.out)
    elif options.adapter is None:
        parser.error("pack needs --adapter: an output of interank distill or rl")
    else:
        packed(open_artifact(options.adapter, "adapter"), options)


def packed(trained: Artifact, options: argparse.Namespace) -> None:
    """The same adapter as an artifact of a few megabytes; what its manifest and card say of the training stays."""
    out, earlier = options.out, [open_artifact(path, "adapter") for path in options.earlier]
    # Not by the paths of the machine that it was trained on.
    recipes = [each.recipe() for each in (trained, *earlier)]
    paths = {path: f"runs/starter/{Path(path).name}" for recipe in recipes for path in told_paths(recipe)}
    recipe = json.loads(renamed(json.dumps(trained.recipe()), paths))
    place = create(out, "adapter", recipe=recipe, inputs=trained.manifest["inputs"], existing="overwrite")
    if isinstance(place, Artifact):
        raise SystemExit(f"{out} is there and was not replaced")
    written_anew = {"kind", "format", "interank", "seed", "inputs", "counts", "files"}
    facts = {name: value for name, value in trained.manifest.items() if name not in written_anew}
    base = find_base(trained).folder
    tokenizer = trained.path / "adapter" / "tokenizer.json"
    if tokenizer.read_bytes() != (base / tokenizer.name).read_bytes():
        raise SystemExit(f"{tokenizer} differs from the base's in {base}; a starter has its base's tokenizer")
    for file in sorted(path for path in trained.path.rglob("*") if path.is_file()):
        name = file.relative_to(trained.path)
        if name.name in LEFT_OUT:
            continue
        (place.folder / name).parent.mkdir(exist_ok=True, parents=True)
        if name.name == WEIGHTS:
            rounded = {key: weight.to(torch.bfloat16) for key, weight in load_file(file).items()}
            save_file(rounded, place.folder / name, metadata={"format": "pt"})
        else:
            (place.folder / name).write_text(renamed(file.read_text("utf-8"), paths), "utf-8")
    for each in earlier:
        folder = place.folder / "earlier" / each.path.name
        folder.mkdir(parents=True)
        for name in ("log.jsonl", "recipe.json"):
            (folder / name).write_text(renamed((each.path / name).read_text("utf-8"), paths), "utf-8")
    examples = read_judgments(options.judgments)
    card = place.folder / "README.md"
    told = card.read_text("utf-8") + LIMITS
    if options.score_only:
        facts["modes"] = ["score"]
        settings = place.folder / "adapter" / "interank.json"
        settings.write_text(
            json.dumps(json.loads(settings.read_text("utf-8")) | {"modes": ["score"]}, indent=2), "utf-8"
        )
        lines = [line for line in told.splitlines() if not line.startswith(EXPLAINS)]
        told = "\n".join(lines).replace("that gives its reasons", "that grades") + "\n" + SCORE_ONLY
    card.write_text(told + "\nIts sources are in ATTRIBUTION.md.\n", "utf-8")
    (place.folder / "ATTRIBUTION.md").write_text(attribution(examples), "utf-8")
    refuse_traces(place.folder, trained.path)
    made = place.finish(
        seed=trained.manifest["seed"],
        counts=trained.manifest["counts"],
        notes={**facts, "stored": "bfloat16", "packed_from": trained.digest},
    )
    size = sum(path.stat().st_size for path in made.path.rglob("*") if path.is_file())
    print(f"{made.path}: {size / 1e6:.2f} MB")


def told_paths(recipe: Mapping[str, Any]) -> list[str]:
    """The whole paths among a recipe's inputs."""
    return [given for name in ("judgments", "student") if (given := str(recipe.get(name))).startswith("/")]


def renamed(text: str, paths: Mapping[str, str]) -> str:
    """The text with other paths."""
    for path, name in paths.items():
        text = text.replace(path, name)
    return text


def attribution(examples: list[Example]) -> str:
    """Whose posts it learned from, by site."""
    sites: dict[str, list[Example]] = defaultdict(list)
    for example in examples:
        sites[example.source.site].append(example)
    lines = [
        "# Whose texts the starter learned from",
        "",
        "Posts of these StackExchange sites, from the dumps at archive.org, each under the version of CC BY-SA "
        "that its page names. The page of a post, https://SITE/a/NUMBER, names its authors too.",
        "No text is passed on here.",
    ]
    for site, own in sorted(sites.items()):
        licences = Counter(example.source.licence for example in own)
        told = ", ".join(f"{name} ({count})" for name, count in sorted(licences.items()))
        asked = len({example.query.query_id for example in own})
        posts = sorted({int(example.source.post_id) for example in own})
        lines += [
            "",
            f"## https://{site}",
            "",
            f"{len(own)} pairs of {asked} questions. The documents' licences: {told}.",
        ]
        lines += ["", textwrap.fill(f"Their posts: {', '.join(map(str, posts))}.", 160)]
    return "\n".join(lines) + "\n"


def questions(judgments: Path, out: Path) -> None:
    """The benchmark, in BEIR's layout."""
    site = held_out.load(held_out.FIT, judgments)
    (out / "qrels").mkdir(parents=True, exist_ok=True)
    asked = [query for query in site.queries if query.query_id in site.candidates]
    needed = {doc_id for query in asked for doc_id in site.candidates.doc_ids(query.query_id)}
    needed |= {qrel.doc_id for qrel in site.qrels}
    write_rows(out / "queries.jsonl", ({"_id": query.query_id, "text": query.text} for query in asked))
    documents = (site.corpus[doc_id] for doc_id in sorted(needed))
    write_rows(out / "corpus.jsonl", ({"_id": each.doc_id, "text": each.full_text} for each in documents))
    rows = [f"{qrel.query_id}\t{qrel.doc_id}\t{int(qrel.relevance)}" for qrel in site.qrels]
    (out / "qrels" / "test.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *rows]) + "\n", "utf-8")
    write_run(site.candidates, out / "run.trec")
    print(f"{out}: {len(asked)} questions")


if __name__ == "__main__":
    main()
