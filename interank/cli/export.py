"""`interank export`: a pointwise head in the form of another tool."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from interank.cli.base_option import add_base
from interank.cli.next_step import say_next

_EPILOG = """\
examples:
  interank export runs/head --to cross-encoder --out runs/head-st
  interank export runs/head --to onnx --out runs/head-onnx

cross-encoder is sentence-transformers' form; onnx is a graph for onnxruntime, and needs pip install 'interank[onnx]'.
An adapter is folded into its base in float32. On pairs of the sample benchmark the new form has to give the head's own
logits to 1e-4, else nothing is written."""


def register(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb."""
    verb = verbs.add_parser(
        "export",
        parents=[common],
        help="write a pointwise head for another tool, checked",
        description="Write a pointwise head as a sentence-transformers CrossEncoder or as ONNX, and check its scores.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.add_argument("head", metavar="HEAD", help="an output of distill, a head's folder, or its name on the hub")
    verb.add_argument("--to", required=True, choices=["cross-encoder", "onnx"], help="whose form")
    verb.add_argument("--out", metavar="DIR", required=True, type=Path, help="the new folder")
    add_base(verb, "HEAD")
    verb.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from interank.inputs import check_inputs, reranker
    from interank.stages.inputs import refuse_taken

    refuse_taken(options.out, Path(options.head))
    check_inputs([reranker("HEAD", options.head, options.base)], glance=True)
    from interank.stages.export import export

    found = export(options.head, options.out, to=options.to, base=options.base)
    print(found.folder)
    folder = str(found.folder)
    loaded = (
        f"sentence_transformers.CrossEncoder({folder!r})"
        if options.to == "cross-encoder"
        else f"onnxruntime.InferenceSession({str(found.folder / 'model.onnx')!r})"
    )
    say_next(options, f"in Python, {loaded} opens it")
    return 0
