"""`interank serve`: answers requests of other rerankers' clients over HTTP."""

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

Clients of Cohere, Jina, vLLM, TEI, Voyage, Infinity, NIM and SGLang work unchanged; docs/serve.md has the routes.
INTERANK_KEYS and INTERANK_ADMIN_KEYS may hold keys instead of the files, with commas between them."""
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
        help="a further model, for requests whose `model` is NAME; adapters share their base; repeatable",
    )
    verb.add_argument("--adapter-root", metavar="DIR", type=Path, help="the folder of adapters loadable at run time")
    verb.add_argument("--name", metavar="NAME,...", help="MODEL's names in requests (default: its folder's name)")
    verb.add_argument("--mode", choices=MODES, default="score", help="the mode of requests that name none")
    verb.add_argument("--host", default="127.0.0.1", help="the address to listen on (default 127.0.0.1)")
    verb.add_argument("--port", type=int, default=8080, metavar="N", help="the port (%(default)s)")
    verb.add_argument("--key-file", metavar="FILE", type=Path, help="API keys, one a line; without any, none is needed")
    verb.add_argument("--admin-key-file", metavar="FILE", type=Path, help="keys that may load and unload adapters")
    add_base(verb)
    verb.add_argument("--max-reasoning-tokens", type=positive, default=256, metavar="N", help="an explanation's budget")
    verb.add_argument("--precision", default="exact", help="as in rerank: exact, bfloat16 or nf4")
    verb.add_argument("--memory", metavar="GB", type=float, help="memory of a batch's KV cache, on transformers")
    engines = ["transformers", "vllm", "openai"]
    verb.add_argument("--engine", choices=engines, default="transformers", help="the model's engine (%(default)s)")
    verb.add_argument("--server", metavar="URL", help="with --engine openai: http://HOST:PORT/v1, or URL,URL")
    verb.add_argument("--served-name", metavar="NAME", help="the servers' name for the model, if it is not MODEL")
    verb.add_argument(
        "--step-tokens", type=positive, metavar="N", help="tokens of a scoring batch (default 2048, on a GPU 32768)"
    )
    verb.add_argument(
        "--limits",
        metavar="KEY=N,...",
        default="",
        help="documents, characters, query_characters, body_bytes, explanations, requests, wait_seconds, share, "
        "timeout, drain_seconds, heartbeat",
    )
    verb.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    if missing := [name for name in _NEEDS if importlib.util.find_spec(name) is None]:
        raise InputError(f"interank serve needs {missing[0]}, which is not installed; pip install 'interank[serve]'")
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
        raise InputError(f"--adapter-root {options.adapter_root} is no folder; give the folder of the adapters")
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


def _limits(text: str, defaults: dict[str, Any]) -> dict[str, Any]:
    limits: dict[str, Any] = {}
    for part in filter(None, text.split(",")):
        name, _, value = part.partition("=")
        try:
            number = type(defaults[name])(value)
        except KeyError:
            raise InputError(f"--limits has no {name!r}; there are {', '.join(defaults)}") from None
        except ValueError:
            raise InputError(f"--limits {name} is {value!r}; give a number, as {defaults[name]}") from None
        if not number > 0:
            raise InputError(f"--limits {name} is {value}; give more than 0")
        limits[name] = number
    return limits
