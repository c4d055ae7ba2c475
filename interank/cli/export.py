"""`interank export`: a judge or a pointwise head in the form of another tool."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from interank.cli.base_option import add_base
from interank.cli.next_step import say_next

_EPILOG = """\
examples:
  interank export runs/rl --to cross-encoder --out runs/rl-st
  interank export runs/rl --to onnx --out runs/rl-onnx
  interank export runs/rl --to vllm --out runs/rl-vllm
  interank export runs/head --to cross-encoder --out runs/head-st

cross-encoder is sentence-transformers' form (a judge's is transformers' and vLLM's classifier too); onnx is a graph
for onnxruntime, and needs pip install 'interank[onnx]'; vllm is for `vllm serve` with interank beside it, judges alone.
An adapter is folded into its base in float32. What was written is read again: on pairs of the sample benchmark and,
for judges, documents that spell special tokens, it has to give the model's own scores to 1e-4, else nothing is left of
it."""


def register(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb."""
    verb = verbs.add_parser(
        "export",
        parents=[common],
        help="write a judge or a pointwise head for another tool, checked",
        description="Write a judge or a pointwise head as a CrossEncoder, as ONNX or for vLLM, and check its scores.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.add_argument("model", metavar="MODEL", help="an output of distill or rl, a model's folder or hub name")
    verb.add_argument("--to", required=True, choices=["cross-encoder", "onnx", "vllm"], help="whose form")
    verb.add_argument("--out", metavar="DIR", required=True, type=Path, help="the new folder")
    verb.add_argument(
        "--numbers",
        choices=["float32", "bfloat16"],
        default="float32",
        help="what a judge's weights are kept in (default float32); in bfloat16 its head stays in float32",
    )
    add_base(verb, "MODEL")
    verb.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from interank.inputs import check_inputs, reranker
    from interank.stages.inputs import refuse_taken

    refuse_taken(options.out, Path(options.model))
    check_inputs([reranker("MODEL", options.model, options.base)], glance=True)
    from interank.stages.export import export

    found = export(options.model, options.out, to=options.to, numbers=options.numbers, base=options.base)
    print(found.folder)
    say_next(options, _opened(options.to, str(found.folder)))
    return 0


def _opened(to: str, folder: str) -> str:
    if to == "vllm":
        return (
            f"vllm serve {folder} --dtype float32 opens it where interank is installed beside vLLM; {folder}/README.md "
            "has the rest"
        )
    if to == "onnx":
        return f"in Python, onnxruntime.InferenceSession({f'{folder}/model.onnx'!r}) opens it"
    return f"in Python, sentence_transformers.CrossEncoder({folder!r}) opens it"
