"""The parser of the command line: it reports a wrong word in one sentence, with the nearest right one."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn


class Parser(argparse.ArgumentParser):
    """argparse's parser with short errors: neither usage before nor a list of all choices behind them."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse's, but a wrong option is reported before a missing one, and options hold the verb's parser."""
        if args is not None and self._subparsers is None:
            words = args[: args.index("--")] if "--" in args else args
            unknown = [word for word in words if word.startswith("--") and " " not in word and not self._has(word)]
            if unknown:
                self.refuse(unknown)
        options, rest = super().parse_known_args(args, namespace)
        # A verb's parser returns before the top parser does.
        if not hasattr(options, "parser"):
            options.parser = self
        return options, rest

    def _has(self, word: str) -> bool:
        name = word.partition("=")[0]
        return any(option.startswith(name) for option in self._option_string_actions)

    def error(self, message: str) -> NoReturn:
        """Print the message and end with exit code 2."""
        more = "" if message.endswith("?") else f"; `{self.prog} --help` shows the usage"
        self.exit(2, f"{self.prog}: {message}{more}\n")

    def refuse(self, words: Sequence[str]) -> NoReturn:
        """End with an error about words that match no option and no argument."""
        word = next((word for word in words if word.startswith("-")), words[0])
        has_settings = any(action.dest == "overrides" for action in self._actions)
        if not word.startswith("-"):
            wrong = next((word for word in words if "=" not in word), word)
            hint = "settings of the recipe are written key=value" if has_settings else "it takes no further argument"
            self.error(f"found {wrong!r}; {hint}")
        name, equals, _ = word.partition("=")
        hint = nearest(name, self._option_string_actions)
        if not hint and equals and has_settings:
            hint = f"; settings of the recipe are written without dashes, as {word.lstrip('-')}"
        self.error(f"there is no option {name}{hint}")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        known = [str(choice) for choice in action.choices]
        name = "/".join(action.option_strings) or str(action.metavar or action.dest)
        hint = nearest(str(value), known) or f"; it is one of {', '.join(known)}"
        what = (
            f"no {name.lower()} {value!r}" if isinstance(action, argparse._SubParsersAction) else f"no {name} {value}"
        )
        raise argparse.ArgumentError(None, f"there is {what}{hint}")


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of a sentence that asks whether the nearest known word was meant; empty if none is near."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""
