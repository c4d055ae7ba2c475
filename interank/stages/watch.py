"""watch: serves the page of a training, running or finished."""

from __future__ import annotations

import http.server
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from html import escape
from http import HTTPStatus
from pathlib import Path
from typing import Any

from interank.artifact import open_artifact
from interank.errors import ArtifactError, InputError, InterankError
from interank.outputs import MANIFEST, Partial
from interank.stages.training_page import read_training, training_page
from interank.stages.training_summary import Training

log = logging.getLogger(__name__)

REFRESH = 10
"""Seconds until a browser reloads the page of a running training."""
_TRAINED = ("distill", "reward", "rl")


def page(out: Path, *, control: Path | None = None) -> str:
    """The page of a training in its present state, finished or not.

    Args:
        out: The `--out` of distill, reward or rl.
        control: The `--out` of the same training on shuffled grades.

    Raises:
        ArtifactError: There is no output.
        InputError: The output is no training.
    """
    training, folder = _training(out)
    if control is not None:
        beside, _ = _training(control)
        training = replace(training, control=beside.log)
    refresh = REFRESH if training.running else None
    compared = _compared(out) if training.stage == "reward" and not training.running else ()
    return training_page(training, folder, shown=_shown(training.recipe), refresh=refresh, compared=compared)


def _report(out: Path) -> dict[str, Any]:
    return dict(json.loads((out / "report.json").read_text("utf-8")))


def _compared(out: Path) -> Sequence[Sequence[str]]:
    """A reward model's table of held-out pairs, if there were any."""
    from interank.tasks.head.reward_model.card import compared

    report = _report(out)
    return compared(report) if report["pairs"] else ()


def _training(out: Path) -> tuple[Training, Path]:
    if (out / MANIFEST).is_file():
        artifact = open_artifact(out)
        recipe = artifact.recipe()
        _check(out, recipe)
        manifest = artifact.manifest
        if recipe["stage"] == "reward":
            manifest = {**manifest, "accuracy": _report(out)["accuracy"]}
        training = Training(str(recipe["stage"]), recipe, read_training(out), manifest, manifest.get("counts", {}))
        return training, out
    partial = Partial(out)
    begun = partial.begun
    if begun is None:
        raise ArtifactError(
            f"{out}: nothing is trained there, nor was; give the --out of interank distill, reward or rl, once it has "
            "begun"
        )
    recipe = begun["recipe"]
    _check(out, recipe)
    return Training(str(recipe["stage"]), recipe, read_training(partial.work, running=True), running=True), partial.work


def _check(out: Path, recipe: Mapping[str, Any]) -> None:
    if recipe.get("stage") not in _TRAINED:
        raise InputError(
            f"{out} is an output of {recipe.get('stage')}, which has no such page; give one of distill, reward or rl"
        )


def _shown(recipe: Mapping[str, Any]) -> Any:
    """The task's function that shows a rollout's prompt; None where there are no rollouts."""
    if recipe["stage"] != "rl":
        return None
    from interank.tasks.parts import refining

    return refining(str(recipe.get("task", "judge"))).shown


def serve(out: Path, *, port: int, control: Path | None = None) -> http.server.ThreadingHTTPServer:
    """A server on the loopback address that renders the page at each request; the caller has to start it.

    Raises:
        InterankError: There is nothing to show yet.
        InputError: The port is taken.
    """
    page(out, control=control)

    class Handler(http.server.BaseHTTPRequestHandler):
        """Answers every path with the page."""

        def do_GET(self) -> None:
            """Render the page and send it."""
            if self.path not in ("/", "/index.html"):
                self.send_error(HTTPStatus.NOT_FOUND)
                return
            try:
                content, status = page(out, control=control).encode("utf-8", "replace"), HTTPStatus.OK
            except (InterankError, OSError) as error:
                # The training may be ending, or starting again, at this moment.
                content, status = escape(str(error)).encode("utf-8", "replace"), HTTPStatus.SERVICE_UNAVAILABLE
            self.send_response(status)
            if status != HTTPStatus.OK:
                self.send_header("Refresh", str(REFRESH))
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing of each request."""
            log.debug(format, *args)

    try:
        return http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
    except OSError as error:
        raise InputError(f"port {port} cannot be had: {error.strerror}; give another --port") from None
