"""`interank recipes ls | show | cp`: lists, shows and copies the bundled recipes."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

from interank.cli.next_step import say_next, word
from interank.wording import aligned

_COLUMNS = ("name", "hardware", "time", "cost", "what")


def register(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb and its three actions."""
    verb = verbs.add_parser(
        "recipes",
        help="list, show and copy the recipes that come with interank",
        description="List, show and copy the recipes that come with interank.",
        epilog="example:\n  interank recipes cp distill/llama-3.2-3b mine.yaml",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = verb.add_subparsers(title="actions", metavar="ACTION", required=False)
    listing = actions.add_parser("ls", parents=[common], help="list what each recipe does and takes")
    listing.add_argument(
        "--json", action="store_true", help="print a JSON object: for each name its purpose, hardware, time and cost"
    )
    listing.set_defaults(run=_list)
    show = actions.add_parser("show", parents=[common], help="print a recipe")
    show.add_argument("name", metavar="NAME", help="a name that `interank recipes ls` lists")
    show.set_defaults(run=_show)
    copy = actions.add_parser("cp", parents=[common], help="copy a recipe to edit it")
    copy.add_argument("name", metavar="NAME", help="a name that `interank recipes ls` lists")
    copy.add_argument("target", metavar="TARGET", type=Path, help="a file or a folder")
    copy.set_defaults(run=_copy)


def _list(options: argparse.Namespace) -> int:
    from interank.recipe import recipe_files, summary

    summaries = {name: summary(path)._asdict() for name, path in recipe_files()}
    if options.json:
        print(json.dumps(summaries, indent=2))
        return 0
    rows = ((name, *(each[column] for column in _COLUMNS[1:])) for name, each in summaries.items())
    print(aligned([_COLUMNS, *rows]))
    say_next(
        options,
        "interank recipes show NAME prints one; a time with ~ is computed for 100,000 judgments, see docs/recipes.md",
    )
    return 0


def _show(options: argparse.Namespace) -> int:
    from interank.recipe import find_recipe

    print(find_recipe(options.name).read_text("utf-8"), end="")
    say_next(options, f"interank recipes cp {word(options.name)} mine.yaml copies it to edit")
    return 0


def _copy(options: argparse.Namespace) -> int:
    from interank.errors import InputError
    from interank.recipe import find_recipe

    source = find_recipe(options.name)
    target = options.target / source.name if options.target.is_dir() else options.target
    if target.exists():
        raise InputError(f"{target} exists and would be overwritten; give another name or remove it")
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        raise InputError(f"{target} cannot be written: {error.strerror}; name a file in a folder that exists") from None
    print(target)
    say_next(options, f"interank check {word(target)} says what it resolves to")
    return 0
