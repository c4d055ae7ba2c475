"""The reference of commands, from the parsers that read them."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from interank.cli.app import parser


def verbs() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Each command by its words, as `recipes ls`, with its parser."""
    yield from _below("", parser())


def _below(before: str, found: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in found._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, each in action.choices.items():
                yield f"{before}{name}", each
                yield from _below(f"{before}{name} ", each)


def page() -> str:
    """The reference page of all commands."""
    parts = [
        "# Commands",
        "What `interank VERB --help` says, made from the parsers when the site is built. Every command takes `--quiet` "
        "(errors only) and `--verbose` (also the log lines of the libraries). Exit codes: 0 done, 1 an error that "
        "is explained in a sentence, 2 wrong usage, 130 interrupted, 143 terminated.",
    ]
    parts += [_command(words, each) for words, each in verbs()]
    return "\n\n".join(parts) + "\n"


def _command(words: str, found: argparse.ArgumentParser) -> str:
    usage = found.format_usage().removeprefix("usage: ").strip()
    parts = [f"## {words}", found.description or "", f"```text\n{usage}\n```"]
    rows = [
        (_named(action), _sentence(found, action))
        for action in found._actions
        if action.help != argparse.SUPPRESS
        and not isinstance(action, argparse._HelpAction | argparse._SubParsersAction)
        and not {"--quiet", "--verbose"} & {*action.option_strings}
    ]
    if rows:
        parts.append("\n".join(["| argument | |", "|---|---|", *(f"| `{name}` | {told} |" for name, told in rows)]))
    if found.epilog:
        parts.append(f"```text\n{found.epilog.strip()}\n```")
    return "\n\n".join(part for part in parts if part)


def _named(action: argparse.Action) -> str:
    shown = str(action.metavar or ("|".join(map(str, action.choices)) if action.choices else action.dest.upper()))
    if not action.option_strings:
        return shown.replace("|", "\\|")
    return f"{', '.join(action.option_strings)}{'' if action.nargs == 0 else f' {shown}'}".replace("|", "\\|")


def _sentence(found: argparse.ArgumentParser, action: argparse.Action) -> str:
    if not action.help:
        return ""
    formatter = found._get_formatter()
    return " ".join(formatter._expand_help(action).split()).replace("|", "\\|").replace("<", "&lt;")
