"""`interank completion`: prints a script with which a shell completes verbs, options, recipes and files."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from interank.cli.next_step import say_next

_SHELLS = ("bash", "zsh", "fish")
_WHERE = {
    "bash": "~/.local/share/bash-completion/completions/interank",
    "zsh": "a folder of $fpath, under the name _interank",
    "fish": "~/.config/fish/completions/interank.fish",
}
_EPILOG = """\
examples:
  interank completion bash > ~/.local/share/bash-completion/completions/interank
  interank completion fish > ~/.config/fish/completions/interank.fish

The script has the verbs, options and recipes of this version; write it again after an upgrade."""

# A function in each shell's language that completes recipe names and files.
_RECIPES = {
    "bash": '_interank_recipes() {{ compgen -W "{names}" -- "$1"; compgen -f -- "$1"; }}',
    "zsh": "_interank_recipes() {{ compadd -- {names}; _files; }}",
    "fish": "function _interank_recipes; printf '%s\\n' {names}; __fish_complete_path (commandline -ct); end",
}


def register(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb."""
    verb = verbs.add_parser(
        "completion",
        parents=[common],
        help="print a shell's completion script",
        description="Print a script with which a shell completes verbs, options, recipes and files.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.add_argument("shell", metavar="SHELL", choices=_SHELLS, help=", ".join(_SHELLS))
    verb.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    import shtab

    from interank.cli.app import parser
    from interank.recipe import recipe_files

    top = parser()
    for action in _actions(top):
        completer = _completer(action)
        if completer is not None:
            action.complete = completer  # type: ignore[attr-defined]  # where shtab looks
    names = " ".join(name for name, _ in recipe_files())
    print(shtab.complete(top, options.shell, preamble=_RECIPES[options.shell].format(names=names)))
    say_next(options, f"write it to {_WHERE[options.shell]}, and open a new shell")
    return 0


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """The actions of a parser and of all its subparsers."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from _actions(below)


def _completer(action: argparse.Action) -> Any:
    """The argument's completer as shtab takes it, or None."""
    import shtab

    if action.metavar == "RECIPE" or (action.metavar == "NAME" and action.dest == "name"):
        return {"bash": "_interank_recipes", "zsh": "_interank_recipes", "fish": "(_interank_recipes)"}
    if action.type is Path or action.metavar in ("MODEL", "ADAPTER", "HEAD"):
        return shtab.DIRECTORY if action.metavar == "DIR" else shtab.FILE
    return None
