"""The `interank` command: runs a verb, and turns errors into a sentence and an exit code."""

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
    """Run the command line and return its exit code."""
    # Has to come before torch is imported; no verb has imported it yet.
    wait_briefly()
    options = _parsed(arguments)
    with ending.ready(options):
        _set_up_log(options)
        return _run(options, list(sys.argv[1:] if arguments is None else arguments))


def _run(options: argparse.Namespace, arguments: list[str]) -> int:
    """Run the verb, and print the reason in a sentence if it is ended early."""
    try:
        if getattr(options, "verb", None) not in TRAINED_TOGETHER:
            refuse_several_processes()
        code: int = _launched(options.launch, arguments) if getattr(options, "launch", None) else options.run(options)
        sys.stdout.flush()
        return code
    except ToldByFirstError:
        return 1
    except InterankError as error:
        print(f"interank: {ending.cause_message(error, options) or error}", file=sys.stderr)
        return 1
    except Terminated:
        ending.announce("terminated", options)
        return 143
    except KeyboardInterrupt:
        ending.announce("interrupted", options)
        return 130
    except ending.ReaderGoneError:
        return 0
    except Exception as error:  # noqa: BLE001  # Users see no traceback.
        print(f"interank: {ending.fault_message(error, options) or error_report.message(error)}", file=sys.stderr)
        return 1


def _launched(processes: str, arguments: list[str]) -> int:
    """Run the command in several processes."""
    from interank.stages.launching import launch

    return launch(processes, arguments)


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the options.

    argparse ends a list of positional arguments at the first option, so the ones behind it are added here.
    """
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
    loudness.add_argument("--quiet", action="store_true", help="print errors only, no progress")
    loudness.add_argument("--verbose", action="store_true", help="also print the log lines of the libraries")
    # Without a verb the help is printed.
    verbs = top.add_subparsers(title="verbs", metavar="VERB", required=False)
    for module in _VERBS:
        module.register(verbs, common)
    return top


def _set_up_log(options: argparse.Namespace) -> None:
    logging.basicConfig(stream=sys.stderr, format="%(message)s", level=logging.WARNING, force=True)
    # Of several processes only the first logs progress; all log warnings.
    default = logging.INFO if first() else logging.WARNING
    level = logging.ERROR if options.quiet else logging.DEBUG if options.verbose else default
    logging.getLogger("interank").setLevel(level)
    if not options.verbose:
        # Log lines of the libraries are meant for developers.
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        os.environ.setdefault("PYTHONWARNINGS", "ignore")
        logging.getLogger().setLevel(logging.ERROR)
        import warnings

        warnings.simplefilter("ignore")


if __name__ == "__main__":
    sys.exit(main())
