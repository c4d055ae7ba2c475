"""`interank check`: resolve a recipe, open all that it names, and print it, or every fault at once."""

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
        help="resolve a recipe, open its inputs and print it, or every fault it has",
        description="Resolve a recipe, open all that it names as its stage does before it begins, and print it with "
        "its defaults filled in, or every fault it has. No model is loaded and nothing is fetched.",
        epilog="example:\n  interank check recipes/demo.yaml rl.trainer.max_steps=8",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.add_argument("recipe", metavar="RECIPE", help="a YAML file, or a name of `interank recipes ls`")
    verb.add_argument("overrides", metavar="key=value", nargs="*", help="settings that win over the file's")
    verb.add_argument("--json", action="store_true", help="print JSON instead of YAML")
    verb.add_argument(
        "--shards",
        metavar="N/OF",
        help="of generate and evaluate: see that the work can be dealt out, and what a share is",
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
    # What is not there is told before anything heavy is imported.
    glance(recipe)
    # As the stage does, so that both refuse the same in the same words.
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
    given = " ".join(map(word, [options.recipe, *options.overrides]))
    more = "".join(f" {key}=PATH" for key in missing)
    more += f" --shards {shard}" if shard else ""
    say_next(options, f"interank {recipe.stage} {given}{more} --out runs/NAME")
    return 0


def _shard(recipe: Recipe, asked: str | None) -> Shard | None:
    """The share that is asked about.

    Raises:
        InputError: It is none, or the work cannot be dealt out.
    """
    if asked is None:
        return None
    from interank.stages.shards import refuse_shards

    shard = Shard.parse(asked)
    refuse_shards(recipe)
    return shard


def _foreseen(recipe: Recipe, named: Sequence[Input], shard: Shard | None) -> list[str]:
    """What the stage would read, write and take; what it says on its way is left out, warnings are not."""
    from interank.stages.forecast import foresee

    log = logging.getLogger("interank")
    before = log.level
    log.setLevel(max(before, logging.WARNING))
    try:
        return foresee(recipe, named, shard)
    finally:
        log.setLevel(before)


def _stored(recipe: Recipe) -> list[str]:
    """Which of the adapters to evaluate store a fit that would not be measured."""
    from interank.recipe import EvaluateRecipe
    from interank.reranking.fitting import stored_place

    if not isinstance(recipe, EvaluateRecipe):
        return []
    asked = {path.resolve() for path in recipe.fits}
    return [
        f"{path} stores a fit, which fits={path} would measure beside it"
        for path in recipe.adapters
        if path.resolve() not in asked and stored_place(path, recipe.mode)
    ]
