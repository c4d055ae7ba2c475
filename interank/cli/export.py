"""`interank export`: writes a judge or a pointwise head in another tool's format."""

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

cross-encoder is sentence-transformers' format (a judge's is transformers' and vLLM's classifier too); onnx is a graph
for onnxruntime, and needs pip install 'interank[onnx]'; vllm is for `vllm serve` with interank installed beside it, for
judges only. An adapter is merged into its base in float32. The export is then read back: on pairs of the sample
benchmark and, for judges, documents that spell special tokens, it has to give the model's own scores to 1e-4; otherwise
it is removed."""


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
    verb.add_argument("--to", required=True, choices=["cross-encoder", "onnx", "vllm"], help="the format")
    verb.add_argument("--out", metavar="DIR", required=True, type=Path, help="the new folder")
    verb.add_argument(
        "--numbers",
        choices=["float32", "bfloat16"],
        default="float32",
        help="the number format of a judge's weights (default float32); with bfloat16 its head stays in float32",
    )
    add_base(verb, "MODEL")
    verb.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from interank.inputs import check_inputs, reranker
    from interank.stages.inputs import refuse_taken

    refuse_taken(options.out, Path(options.model))
    check_inputs([reranker("MODEL", options.model, options.base)], glance=True)
    from interank.stages.export import export

    exported = export(options.model, options.out, to=options.to, numbers=options.numbers, base=options.base)
    print(exported.folder)
    say_next(options, _how_to_open(options.to, str(exported.folder)))
    return 0


def _how_to_open(to: str, folder: str) -> str:
    if to == "vllm":
        return (
            f"vllm serve {folder} --dtype float32 opens it where interank is installed beside vLLM; {folder}/README.md "
            "has the rest"
        )
    if to == "onnx":
        return f"in Python, onnxruntime.InferenceSession({f'{folder}/model.onnx'!r}) opens it"
    return f"in Python, sentence_transformers.CrossEncoder({folder!r}) opens it"
