"""`interank watch`: shows the page of a training in a browser, while it runs and afterwards."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

_EPILOG = """\
example:
  interank watch runs/rl
  interank watch runs/rl --control runs/rl-shuffled

The page is served to this machine only, and reloads every 10 seconds until the training has ended."""


def register(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb."""
    verb = verbs.add_parser(
        "watch",
        parents=[common],
        help="show a training in the browser while it runs",
        description="Show a training in the browser: its trials, its curves, and the policy's answers.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.add_argument("folder", metavar="DIR", type=Path, help="the --out of distill, reward or rl, finished or not")
    verb.add_argument(
        "--control", metavar="DIR", type=Path, help="the same training on shuffled grades, drawn on the same axes"
    )
    verb.add_argument("--port", type=int, default=8700, help="the port (%(default)s)")
    verb.add_argument("--html", metavar="FILE", type=Path, help="write the page to a file once, and serve nothing")
    verb.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from interank.errors import InputError
    from interank.stages.watch import page, serve

    if options.html:
        try:
            options.html.write_text(page(options.folder, control=options.control), "utf-8")
        except OSError as error:
            raise InputError(f"{options.html} cannot be written: {error.strerror}; name another file") from None
        print(options.html)
        return 0
    with serve(options.folder, port=options.port, control=options.control) as server:
        print(f"http://127.0.0.1:{server.server_address[1]}/ shows {options.folder}; Ctrl-C ends it", flush=True)
        server.serve_forever()
    return 0
