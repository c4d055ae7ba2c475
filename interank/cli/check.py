"""`interank check`: resolves a recipe, opens its inputs, and prints it, or all its faults at once."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from interank.cli.next_step import say_next, word
from interank.cli.stage import ALLOW_CODE
from interank.shards import Shard

if TYPE_CHECKING:
    from interank.inputs import Input
    from interank.recipe import Recipe


def register(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb."""
    verb = verbs.add_parser(
        "check",
        parents=[common],
        help="resolve a recipe, open its inputs and print it, or all its faults",
        description="Resolve a recipe, open its inputs as its stage does at the start, and print the recipe with all "
        "defaults, or all its faults. No model is loaded and nothing is downloaded.",
        epilog="example:\n  interank check recipes/demo.yaml rl.trainer.max_steps=8",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.add_argument("recipe", metavar="RECIPE", help="a YAML file, or a name of `interank recipes ls`")
    verb.add_argument("overrides", metavar="key=value", nargs="*", help="settings that override the file's")
    verb.add_argument("--json", action="store_true", help="print JSON instead of YAML")
    verb.add_argument(
        "--shards",
        metavar="N/OF",
        help="for generate and evaluate: check that the work can be split into shards, and print what a shard holds",
    )
    verb.add_argument("--allow-code", action="store_true", help=ALLOW_CODE)
    verb.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    import yaml

    from interank.cli.stage import stage_named
    from interank.recipe import load_recipe
    from interank.stages.early import glance

    if options.allow_code:
        from interank.rewards import allow_code

        allow_code()
    recipe = load_recipe(options.recipe, options.overrides)
    # Missing inputs are reported before anything heavy is imported.
    glance(recipe)
    # The stage's own check, so that both report the same faults in the same words.
    named = stage_named(recipe.stage).check(recipe)
    shard = _shard(recipe, options.shards)
    foreseen = _foreseen(recipe, named, shard)
    resolved = recipe.model_dump(mode="json")
    text = json.dumps(resolved, indent=2) if options.json else yaml.safe_dump(resolved, sort_keys=False).rstrip()
    print(text)
    missing = recipe.missing()
    if missing and not options.quiet:
        print(f"still to be given on the command line: {', '.join(missing)}", file=sys.stderr)
    if not options.quiet:
        for line in [*_stored(recipe), *foreseen]:
            print(line, file=sys.stderr)
    words = " ".join(map(word, [options.recipe, *options.overrides]))
    more = "".join(f" {key}=PATH" for key in missing)
    more += f" --shards {shard}" if shard else ""
    say_next(options, f"interank {recipe.stage} {words}{more} --out runs/NAME")
    return 0


def _shard(recipe: Recipe, text: str | None) -> Shard | None:
    """Parse `--shards`.

    Raises:
        InputError: It names no shard, or the stage's work cannot be split into shards.
    """
    if text is None:
        return None
    from interank.stages.shards import refuse_shards

    shard = Shard.parse(text)
    refuse_shards(recipe)
    return shard


def _foreseen(recipe: Recipe, named: Sequence[Input], shard: Shard | None) -> list[str]:
    """What the stage would read, write and take; its progress lines are silenced, its warnings are not."""
    from interank.stages.forecast import forecast

    log = logging.getLogger("interank")
    before = log.level
    log.setLevel(max(before, logging.WARNING))
    try:
        return forecast(recipe, named, shard)
    finally:
        log.setLevel(before)


def _stored(recipe: Recipe) -> list[str]:
    """A line on each adapter to evaluate whose stored fit the recipe does not use."""
    from interank.recipe import EvaluateRecipe
    from interank.reranking.fitting import stored_place

    if not isinstance(recipe, EvaluateRecipe):
        return []
    used = {path.resolve() for path in recipe.fits}
    return [
        f"{path} stores a fit, which fits={path} would measure beside it"
        for path in recipe.adapters
        if path.resolve() not in used and stored_place(path, recipe.mode)
    ]
