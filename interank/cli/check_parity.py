"""`interank check-parity`: compares a model's scores over engines, number formats, batches and merged weights."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interank.cli.base_option import add_base
from interank.cli.next_step import say_next, word
from interank.wording import aligned

if TYPE_CHECKING:
    from interank.diagnosis.certificate import Certificate
    from interank.diagnosis.parity import Difference

_EPILOG = """\
examples:
  interank check-parity runs/student
  interank check-parity runs/student --against runs/student-merged --golden asked.jsonl --json parity.json
  interank check-parity runs/student --engines transformers --server http://localhost:8000/v1 --served-name judge

Each variant of the model is compared with the reference: transformers' own forward pass in float32, the adapter
unmerged, one text at a time. A golden set is JSONL with `query_id, query, documents` in each row. Three faults are
introduced on purpose, to check that the set reveals them. With --json a killed command resumes when it is repeated.
The exit code is 1 if a difference exceeds its tolerance."""
_HEAD = ("variant", "largest", "mean", "tau", "moved", "grades", "allowed", "verdict")


def register(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb."""
    verb = verbs.add_parser(
        "check-parity",
        parents=[common],
        help="compare engines, number formats, batches and merged weights",
        description="Compare all variants of a model on a golden set: scores, ranks and grades.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.add_argument("model", metavar="MODEL", help="an output of distill or rl, or a model's folder or hub name")
    verb.add_argument("--golden", metavar="FILE", type=Path, help="queries with documents (default: interank's own)")
    verb.add_argument(
        "--engines",
        choices=["transformers", "transformers,vllm"],
        metavar="ENGINES",
        help="transformers, or transformers,vllm (the default where vLLM is installed)",
    )
    verb.add_argument(
        "--against", metavar="MODEL", nargs="+", default=[], help="folders with the same model, as merged"
    )
    verb.add_argument("--server", metavar="URL[,URL]", help="servers with the same model, as vllm serve")
    verb.add_argument("--served-name", metavar="NAME", help="the model's name on the servers")
    verb.add_argument(
        "--server-numbers",
        choices=["float32", "bfloat16"],
        default="bfloat16",
        help="the servers' number format (default bfloat16)",
    )
    verb.add_argument("--json", metavar="FILE", type=Path, help="write the certificate there")
    add_base(verb)
    verb.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from interank.errors import ModelError
    from interank.inputs import Input, check_inputs, reranker
    from interank.outputs import check_file, holds_json

    if options.json:
        read = [options.golden] if options.golden else []
        check_file("--json", options.json, ours=lambda path: holds_json(path, "reference", "controls"), read=read)
    named = [reranker("MODEL", model, options.base) for model in (options.model, *options.against)]
    if options.golden:
        named.append(Input("--golden", options.golden, "requests as JSONL", lambda _: None, "file"))
    check_inputs(named, glance=True)
    from interank.diagnosis.variants import ParityTargets
    from interank.settings import ServerRecipe
    from interank.settings.base import checked
    from interank.stages.parity import check_parity

    keys = options.server and {"urls": options.server, "model": options.served_name}
    server = checked(ServerRecipe, keys, "--server")
    vllm = None if options.engines is None else "vllm" in options.engines
    targets = ParityTargets(vllm, server or None, options.server_numbers, tuple(options.against), options.base)
    certificate = check_parity(options.model, targets, options.golden, output=options.json)
    _print(certificate)
    if certificate.faults:
        raise ModelError(
            f"{len(certificate.faults)} of the comparisons in the table differ by more than is allowed; run the model "
            "as the reference is run, or remove the cause"
        )
    say_next(options, f'interank rerank {word(options.model)} --query "..." FILE; any of these gives this ranking')
    return 0


def _print(certificate: Certificate) -> None:
    """Print the table, with the faults introduced on purpose, and what was skipped."""
    lines = [_HEAD]
    for row in certificate.rows:
        allowed = f"{row.allowed.score:g}, {row.allowed.tau:g}, {row.allowed.grades:.0%}"
        lines.append((str(row.variant), *_figures(row.difference), allowed, "; ".join(row.faults) or "same"))
    lines += [
        (f"fault: {control.fault}", *_figures(control.difference), "", _caught(control.caught_by))
        for control in certificate.controls
    ]
    print(f"{certificate.rows[0].difference.pairs} pairs against {certificate.reference}\n\n{aligned(lines)}")
    for reason in certificate.skipped:
        print(f"skipped: {reason}")


def _figures(of: Difference) -> tuple[str, str, str, str, str]:
    return f"{of.largest:.2g}", f"{of.mean:.2g}", f"{of.tau:.3f}", str(of.moved), str(of.grades)


def _caught(kinds: tuple[str, ...]) -> str:
    return f"caught by tolerance {', '.join(kinds)}" if kinds else "not caught"
