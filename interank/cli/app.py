"""The `interank` command: finds the verb, runs it, and turns errors into a sentence and an exit code."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from interank import __version__
from interank.cli import (
    artifacts,
    attack,
    check,
    check_parity,
    compare,
    completion,
    ending,
    error_report,
    export,
    fit,
    imports,
    join,
    merge,
    push,
    queries,
    recipes,
    rerank,
    score,
    serve,
    split,
    stage,
    watch,
)
from interank.cli.parsing import Parser
from interank.distributed import TRAINED_TOGETHER, ToldByFirstError, first, refuse_several_processes
from interank.errors import InterankError, Terminated
from interank.threads import wait_briefly

_DESCRIPTION = "Train, evaluate and use small language models that reason about relevance."
_EPILOG = """\
The whole path on the sample data:
  interank run recipes/demo.yaml --out runs/demo

Exit codes: 0 done, 1 an error that is explained in a sentence, 2 wrong usage, 130 interrupted
(Ctrl-C), 143 terminated (SIGTERM)."""

_VERBS = (
    imports,
    split,
    stage,
    join,
    compare,
    fit,
    rerank,
    serve,
    queries,
    merge,
    export,
    push,
    check_parity,
    attack,
    score,
    recipes,
    check,
    artifacts,
    watch,
    completion,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code."""
    # No verb has imported torch yet.
    wait_briefly()
    options = _parsed(arguments)
    with ending.ready(options):
        _set_up_log(options)
        return _run(options, list(sys.argv[1:] if arguments is None else arguments))


def _run(options: argparse.Namespace, arguments: list[str]) -> int:
    """Run the verb, and say in a sentence what ended it."""
    try:
        if getattr(options, "verb", None) not in TRAINED_TOGETHER:
            refuse_several_processes()
        code: int = _launched(options.launch, arguments) if getattr(options, "launch", None) else options.run(options)
        sys.stdout.flush()
        return code
    except ToldByFirstError:
        return 1
    except InterankError as error:
        print(f"interank: {ending.behind(error, options) or error}", file=sys.stderr)
        return 1
    except Terminated:
        ending.tell("terminated", options)
        return 143
    except KeyboardInterrupt:
        ending.tell("interrupted", options)
        return 130
    except ending.ReaderGoneError:
        return 0
    except Exception as error:  # noqa: BLE001  # No traceback for what a user can type.
        print(f"interank: {ending.told(error, options) or error_report.told(error)}", file=sys.stderr)
        return 1


def _launched(given: str, arguments: list[str]) -> int:
    """Run the command in several processes."""
    from interank.stages.launching import launch

    return launch(given, arguments)


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options; argparse takes no more of a verb's list once an option stood between, so the rest is added here."""
    options: argparse.Namespace
    options, rest = parser().parse_known_args(arguments)
    if "run" not in options:
        options.parser.print_help()
        raise SystemExit(0)
    if "overrides" in options and all("=" in item and not item.startswith("-") for item in rest):
        options.overrides += rest
    elif "files" in options and not any(item.startswith("-") for item in rest):
        options.files += map(Path, rest)
    elif "measures" in options and not any(item.startswith("-") for item in rest):
        options.measures += rest
    elif rest:
        options.parser.refuse(rest)
    return options


def parser() -> Parser:
    """The parser of all verbs."""
    raw = argparse.RawDescriptionHelpFormatter
    top = Parser("interank", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=raw)
    top.add_argument("-V", "--version", action="version", version=f"interank {__version__}")
    common = argparse.ArgumentParser(add_help=False)
    loudness = common.add_mutually_exclusive_group()
    loudness.add_argument("--quiet", action="store_true", help="errors only, no progress")
    loudness.add_argument("--verbose", action="store_true", help="also what the libraries underneath say")
    # Without a verb the help is shown.
    verbs = top.add_subparsers(title="verbs", metavar="VERB", required=False)
    for module in _VERBS:
        module.register(verbs, common)
    return top


def _set_up_log(options: argparse.Namespace) -> None:
    logging.basicConfig(stream=sys.stderr, format="%(message)s", level=logging.WARNING, force=True)
    # Of several processes the first tells how it goes, and all what went wrong.
    usual = logging.INFO if first() else logging.WARNING
    level = logging.ERROR if options.quiet else logging.DEBUG if options.verbose else usual
    logging.getLogger("interank").setLevel(level)
    if not options.verbose:
        # The libraries underneath speak to their developers; --verbose lets them.
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        os.environ.setdefault("PYTHONWARNINGS", "ignore")
        logging.getLogger().setLevel(logging.ERROR)
        import warnings

        warnings.simplefilter("ignore")


if __name__ == "__main__":
    sys.exit(main())
