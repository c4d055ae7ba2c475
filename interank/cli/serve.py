"""`interank serve`: answers the requests of other rerankers' clients over HTTP."""

from __future__ import annotations

import argparse
import importlib.util
import os
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from interank.cli.base_option import add_base
from interank.cli.rerank import named_adapter, positive
from interank.errors import InputError
from interank.modes import MODES

_EPILOG = """\
examples:
  interank serve runs/demo/rl
  interank serve base --adapter medical=runs/medical --adapter legal=runs/legal --key-file keys
  interank serve runs/merged --engine openai --server http://a:8000/v1,http://b:8000/v1 --served-name judge

Clients of Cohere, Jina, vLLM, TEI, Voyage, Infinity, NIM and SGLang post to it as it is; docs/serve.md has the routes.
INTERANK_KEYS and INTERANK_ADMIN_KEYS hold keys by commas, as the files do on lines."""
_NEEDS = ("fastapi", "uvicorn", "prometheus_client")


def register(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb."""
    verb = verbs.add_parser(
        "serve",
        parents=[common],
        help="answer other rerankers' clients over HTTP",
        description="Serve a reranker, or several adapters on one base, to clients of other rerankers.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.add_argument("model", metavar="MODEL", help="an output of distill or rl, or a model's folder or hub name")
    verb.add_argument(
        "--adapter",
        metavar="NAME=DIR",
        action="append",
        type=named_adapter,
        default=[],
        help="one model more, for requests whose `model` is NAME; adapters share their base; repeatable",
    )
    verb.add_argument("--adapter-root", metavar="DIR", type=Path, help="adapters there may be loaded at run time")
    verb.add_argument("--name", metavar="NAME,...", help="what MODEL is called (default: its folder's name)")
    verb.add_argument("--mode", choices=MODES, default="score", help="of requests that say none")
    verb.add_argument("--host", default="127.0.0.1", help="the address to listen on (default 127.0.0.1)")
    verb.add_argument("--port", type=int, default=8080, metavar="N", help="the port (%(default)s)")
    verb.add_argument("--key-file", metavar="FILE", type=Path, help="keys, one a line; without any all are answered")
    verb.add_argument("--admin-key-file", metavar="FILE", type=Path, help="keys that may load and unload adapters")
    add_base(verb)
    verb.add_argument("--max-reasoning-tokens", type=positive, default=256, metavar="N", help="an explanation's budget")
    verb.add_argument("--precision", default="exact", help="as of rerank: exact, bfloat16 or nf4")
    verb.add_argument("--memory", metavar="GB", type=float, help="of a batch's keys and values, on transformers")
    engines = ["transformers", "vllm", "openai"]
    verb.add_argument("--engine", choices=engines, default="transformers", help="what runs the model (%(default)s)")
    verb.add_argument("--server", metavar="URL", help="with --engine openai: http://HOST:PORT/v1, or several by commas")
    verb.add_argument("--served-name", metavar="NAME", help="what the servers call the model, where that isn't MODEL")
    verb.add_argument("--step-tokens", type=positive, metavar="N", help="of a step of scores (2048, on a GPU 32768)")
    verb.add_argument(
        "--limits",
        metavar="KEY=N,...",
        default="",
        help="documents, characters, query_characters, body_bytes, explanations, requests, wait_seconds, share, "
        "timeout, drain_seconds, heartbeat",
    )
    verb.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    if lacking := [name for name in _NEEDS if importlib.util.find_spec(name) is None]:
        raise InputError(f"interank serve needs {lacking[0]}, which is not installed; pip install 'interank[serve]'")
    from interank.serving.keys import read_keys
    from interank.serving.limits import Limits
    from interank.serving.opening import Opened
    from interank.serving.server import serve
    from interank.serving.service import Setup
    from interank.settings import ServerRecipe
    from interank.settings.base import checked
    from interank.tasks.ranker_settings import RankerSettings

    servers = {"urls": options.server, "model": options.served_name} if options.server else None
    settings = RankerSettings(
        options.model,
        options.mode,
        options.max_reasoning_tokens,
        options.engine,
        checked(ServerRecipe, servers, "--server"),
        options.precision,
        options.base,
        memory=options.memory,
    )
    settings.check()
    names = [name for name, _ in options.adapter]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InputError(f"--adapter {twice} was given twice; give each model one name of its own")
    if options.adapter_root is not None and not options.adapter_root.is_dir():
        raise InputError(f"--adapter-root {options.adapter_root} is no folder; give the one that adapters lie in")
    opened = Opened(
        settings,
        dict(options.adapter),
        tuple(name for name in (options.name or "").split(",") if name),
        options.adapter_root,
    )
    limits = replace(Limits(), **_limits(options.limits, {item.name: item.default for item in fields(Limits)}))
    keys = read_keys(options.key_file, os.environ.get("INTERANK_KEYS"))
    admin = read_keys(options.admin_key_file, os.environ.get("INTERANK_ADMIN_KEYS"))
    serve(Setup(opened, limits, keys, admin, options.step_tokens), options.host, options.port)
    return 0


def _limits(given: str, known: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part in filter(None, given.split(",")):
        name, _, value = part.partition("=")
        try:
            number = type(known[name])(value)
        except KeyError:
            raise InputError(f"--limits has no {name!r}; there are {', '.join(known)}") from None
        except ValueError:
            raise InputError(f"--limits {name} is {value!r}; give a number, as {known[name]}") from None
        if not number > 0:
            raise InputError(f"--limits {name} is {value}; give more than 0")
        found[name] = number
    return found
