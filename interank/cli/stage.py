"""`interank generate | distill | reward | rl | evaluate | run`: run a recipe with overrides into an output folder."""

from __future__ import annotations

import argparse
import importlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interank import distributed
from interank.cli.next_step import say_next, word
from interank.shards import Shard
from interank.wording import aligned

if TYPE_CHECKING:
    from interank.artifact import Artifact, Existing

ALLOW_CODE = "run Python reward files that the recipe names and interank does not bundle"
_VERBS = {
    "generate": (
        "make judgments from StackExchange dumps: a teacher explains and grades question-document pairs",
        "interank generate recipes/generate/stackexchange.yaml dumps=DIR,DIR --out runs/judgments",
    ),
    "distill": (
        "train an adapter on judgments: a small student learns to judge",
        "interank distill recipes/distill/llama-3.2-3b.yaml judgments=runs/judgments --out runs/student",
    ),
    "reward": (
        "train a reward model on marked explanations, with which rl scores explanations",
        "interank reward recipes/reward/llama-3.2-3b.yaml judgments=runs/judgments --out runs/reward",
    ),
    "rl": (
        "improve an adapter by GRPO on the same judgments",
        "interank rl recipes/rl/llama-3.2-3b.yaml judgments=runs/judgments adapter=runs/student --out runs/rl",
    ),
    "evaluate": (
        "measure adapters on fixed candidates: runs, scores and a report",
        "interank evaluate recipes/evaluate/benchmark.yaml benchmark=DIR adapters=runs/student,runs/rl --out runs/eval",
    ),
    "run": (
        "run all stages of a pipeline recipe, in one folder",
        "interank run recipes/demo.yaml --out runs/demo",
    ),
}


def register(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the six verbs."""
    for name, (what, command) in _VERBS.items():
        verb = verbs.add_parser(
            name,
            parents=[common],
            help=what,
            description=f"{what[0].upper()}{what[1:]}.",
            epilog=f"example:\n  {command}\n\n`interank check RECIPE` prints what a recipe resolves to.",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        verb.add_argument("recipe", metavar="RECIPE", help="a YAML file, or a name of `interank recipes ls`")
        verb.add_argument("overrides", metavar="key=value", nargs="*", help="settings that override the file's")
        # A dry run of generate writes nothing, so generate checks `--out` itself.
        needed = name != "generate"
        verb.add_argument("--out", required=needed, type=Path, metavar="DIR", help="the output folder")
        existing = verb.add_mutually_exclusive_group()
        existing.add_argument("--resume", action="store_true", help="continue an output; reuse a finished one")
        existing.add_argument("--overwrite", action="store_true", help="replace an output")
        if name in distributed.TRAINED_TOGETHER:
            verb.add_argument(
                "--launch",
                metavar="N|FILE",
                help="train in N processes on this machine, a GPU each, or by a configuration FILE.yaml of accelerate",
            )
        if name == "generate":
            verb.add_argument(
                "--mine-only", action="store_true", help="stop at the pairs; pairs=DIR continues from them"
            )
            verb.add_argument(
                "--shards", metavar="N/OF", help="with pairs=DIR: judge the N-th of OF shards; interank join joins them"
            )
            verb.add_argument("--executor", choices=["ray"], help="judge all shards on Ray's workers: --shards OF")
            verb.add_argument("--workers", type=int, default=1, metavar="N", help="with --executor: shards at a time")
            verb.add_argument(
                "--dry-run", action="store_true", help="print pairs, tokens, time and cost; judge nothing"
            )
            verb.add_argument("--json", action="store_true", help="with --dry-run: print JSON instead of a table")
        if name == "evaluate":
            verb.add_argument(
                "--shards", metavar="N/OF", help="rank the N-th of OF shards of the queries; interank join joins them"
            )
        if name in ("rl", "evaluate", "run"):
            verb.add_argument("--allow-code", action="store_true", help=ALLOW_CODE)
        if name in ("evaluate", "run"):
            verb.add_argument("--json", action="store_true", help="print the metrics as JSON instead of a table")
        verb.set_defaults(run=_run, verb=name)


def _run(options: argparse.Namespace) -> int:
    from interank.recipe import load_recipe

    if getattr(options, "allow_code", False):
        from interank.rewards import allow_code

        allow_code()
    # All faults of the recipe are reported before anything heavy is imported.
    recipe: Any = load_recipe(options.recipe, options.overrides, stage=options.verb)
    if options.verb == "generate":
        if options.dry_run:
            return _plan(recipe, as_json=options.json)
        if options.out is None:
            options.parser.error("the following arguments are required: --out")
    existing: Existing = "resume" if options.resume else "overwrite" if options.overwrite else "refuse"
    if options.verb in distributed.TRAINED_TOGETHER:
        distributed.begin()
    distributed.from_first(lambda: _refuse_early(recipe, options, existing))
    more: dict[str, Any] = {"only_mine": True} if getattr(options, "mine_only", False) else {}
    if getattr(options, "executor", None):
        artifact = _spread(recipe, options, existing)
    else:
        if shard := getattr(options, "shards", None):
            more["shard"] = Shard.parse(shard)
        artifact = stage_named(options.verb).run(recipe, options.out, existing=existing, **more)
    if options.verb in ("evaluate", "run") and artifact.kind != "shard":
        show_evaluation(artifact, as_json=options.json)
    elif distributed.first():
        print(artifact.path)
    if distributed.first():
        say_next(options, *what_comes_next(options.verb, artifact))
    return 0


def _spread(recipe: Any, options: argparse.Namespace, existing: Existing) -> Artifact:
    """Judge all shards on the workers of an executor."""
    from interank.errors import InputError

    shards = options.shards or ""
    if not shards.isdecimal() or int(shards) < 1 or options.workers < 1:
        raise InputError(
            f"--executor {options.executor}: found --shards {shards or 'nothing'} and --workers {options.workers}; "
            "give the number of shards and how many are judged at a time, as --shards 64 --workers 8"
        )
    stage = importlib.import_module("interank.stages.spread")
    artifact: Artifact = stage.run(recipe, options.out, shards=int(shards), workers=options.workers, existing=existing)
    return artifact


def what_comes_next(verb: str, artifact: Artifact) -> list[str]:
    """The next steps with a stage's output."""
    from interank.artifact import open_artifact

    out = word(artifact.path)
    if artifact.kind == "shard":
        name = "judgments" if verb == "generate" else "eval"
        return [f"interank join {out} ... --out runs/{name} joins it with the other shards"]
    if artifact.kind == "pairs":
        return [f"interank generate RECIPE pairs={out} --out runs/judgments has a teacher judge them"]
    if verb == "generate":
        learned = ["distill distill/smollm2 judgments={} --out runs/student"]
        if artifact.manifest.get("explanations", {}).get("sets"):
            learned = ["reward reward/smollm2 judgments={} --out runs/reward", *learned]
        return [f"interank {each.format(out)} (or another of `recipes ls`)" for each in learned]
    if verb == "reward":
        use = f"rl.rewards: [{{use: explanation_quality, params: {{model: {out}}}}}]"
        return [f"{use} in a recipe of interank rl makes it mark the policy's explanations"]
    if verb == "run":
        refined = open_artifact(artifact.path.parent / "rl", "adapter")
        return [
            f'interank rerank {word(refined.path)}{_in_mode(refined, " --mode ")} --query "..." FILE ranks your files',
            "interank import TABLE --out runs/dump makes a table of questions and answers what `generate` learns from",
            f"open {word(artifact.path / 'report.html')} in a browser",
        ]
    if verb == "evaluate":
        return [f"open {word(artifact.path / 'report.html')} in a browser"]
    in_recipe, on_line = _in_mode(artifact, " mode="), _in_mode(artifact, " --mode ")
    measured = f"interank evaluate evaluate/benchmark benchmark=DIR adapters={out}{in_recipe} --out runs/eval"
    return [f'interank rerank {out}{on_line} --query "..." FILE tries it; {measured} measures it']


def _in_mode(adapter: Artifact, key: str) -> str:
    """The mode that an adapter ranks in, after its key; empty for mode score."""
    from interank.tasks import TASK_MODES, task_of_adapter

    # A task that is recognised by its files has no modes.
    mode, *_ = TASK_MODES.get(task_of_adapter(adapter.manifest), ("score",))
    return f"{key}{mode}" if mode != "score" else ""


def _refuse_early(recipe: Any, options: argparse.Namespace, existing: Existing) -> None:
    """Report faults of inputs and output before anything heavy is imported."""
    from interank.recipe import find_recipe
    from interank.stages.early import refuse_early

    refuse_early(recipe, options.out, read=[find_recipe(options.recipe)], existing=existing)


def _plan(recipe: Any, *, as_json: bool) -> int:
    """Print the pairs, tokens, time and cost of a generate recipe."""
    from interank.stages.estimates import span

    plans = importlib.import_module("interank.stages.plan")
    planned = plans.plan(recipe)
    if as_json:
        print(json.dumps(planned, indent=2))
        return 0
    rows = [["site", "questions", "answers", "pairs"]]
    rows += [[name, *(str(counts[key]) for key in rows[0][1:])] for name, counts in planned["sites"].items()]
    print(aligned(rows, figures=True))
    tokens = planned["tokens"]
    print(f"\n{planned['pairs']} pairs to judge: about {tokens['read']} tokens read and {tokens['written']} written")
    for line in plans.explanations_told(planned):
        print(line)
    seconds, dollars = planned["seconds"], planned["dollars"]
    print("time: " + ("unknown (teacher.speed is not set)" if seconds is None else f"about {span(seconds)}"))
    print("cost: " + ("unknown (teacher.price is not set)" if dollars is None else f"about {dollars:.2f} dollars"))
    return 0


def stage_named(verb: str) -> Any:
    """The stage's module; importing it loads the libraries it needs."""
    return importlib.import_module(f"interank.stages.{'pipeline' if verb == 'run' else verb}")


def show_evaluation(artifact: Artifact, *, as_json: bool) -> None:
    """Print an evaluation's figures and the paths of its report."""
    from interank.evaluation.tables import by_task, systems

    metrics = json.loads((artifact.path / "metrics.json").read_text("utf-8"))
    if as_json:
        print(json.dumps(metrics, indent=2))
        return
    cost = json.loads((artifact.path / "cost.json").read_text("utf-8"))["per_query"]
    measure = artifact.recipe()["measures"][0]
    costs = {name: each["seconds"] for name, each in cost.items()}
    print(aligned(systems(metrics, costs, measure), figures=True))
    if artifact.manifest["counts"]["tasks"] > 1:
        print(f"\n{aligned(by_task(metrics, measure), figures=True)}")
    for note in artifact.manifest["notes"]:
        print(f"\n{note}")
    example = (artifact.path / "example.txt").read_text("utf-8").strip()
    if example:
        print(f"\n{example}")
    print(f"\nreport: {artifact.path / 'report.md'}\npage:   {artifact.path / 'report.html'}")
