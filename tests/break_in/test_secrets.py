"""Secrets planted in the environment, in recipes, in addresses and in servers' answers: no output holds one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from interank.cli.app import main
from interank.engines.endpoints import Endpoints
from interank.engines.rollout_servers import RolloutServers
from interank.engines.server_engine import ServerEngine
from interank.errors import InputError, RecipeError
from interank.recipe import load_recipe
from interank.redaction import redacted, shown, without
from interank.resources import resource_dir
from interank.settings import RolloutServersRecipe, ServerRecipe
from tests.break_in.growth import is_linear
from tests.support.stub import Answer, Stub, refused, serving

KEY = "sk-planted-0123456789abcdefghijklmnop"
OTHER = "planted-value-of-another-variable"
TOKEN = "hf_PlantedPlantedPlantedPlanted"
PASSWORD = "planted-password"
SECRETS = (KEY, OTHER, TOKEN, PASSWORD)


@pytest.mark.parametrize("variable", ["PATH", "AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "TOGETHER_API_KEY"])
@pytest.mark.parametrize("stage", ["generate", "rl", "run"])
def test_a_recipe_of_somebody_elses_sends_no_variable(tmp_path: Path, variable: str, stage: str) -> None:
    section = {"urls": ["http://evil.example/v1"], "key": variable}
    sections: dict[str, dict[str, Any]] = {
        "generate": {"stage": "generate", "teacher": {"model": "x", "engine": "openai", "server": section}},
        "rl": {"stage": "rl", "rollouts": {"engine": "openai", "server": section}},
    }
    sections["run"] = {"stage": "run", "stages": {"generate": sections["generate"]}}
    path = tmp_path / "recipe.yaml"
    path.write_text(json.dumps(sections[stage]))
    with pytest.raises(RecipeError, match=r"server\.key: .* was found in the file; it may name OPENAI_API_KEY"):
        load_recipe(str(path))


def test_variables_that_the_user_names_and_interanks_own_are_sent(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    server = {"urls": ["http://a/v1"], "key": "INTERANK_K"}
    path.write_text(json.dumps({"stage": "generate", "teacher": {"model": "x", "engine": "openai", "server": server}}))
    assert load_recipe(str(path)).teacher.server.key == "INTERANK_K"  # type: ignore[union-attr]
    given = load_recipe(str(path), ["teacher.server.key=TOGETHER_API_KEY"])
    assert given.teacher.server.key == "TOGETHER_API_KEY"  # type: ignore[union-attr]


@pytest.mark.parametrize("key", [KEY, TOKEN, "two words", "", "a" * 100, "a-b"])
def test_a_key_in_place_of_its_variables_name_is_not_repeated(key: str) -> None:
    with pytest.raises(ValidationError, match="no name of an environment variable") as told:
        ServerRecipe(urls=("http://a/v1",), key=key)
    assert key == "" or key not in told.value.errors()[0]["msg"]


@pytest.mark.parametrize(
    "url",
    [
        f"http://user:{PASSWORD}@host/v1",
        f"https://{PASSWORD}@host/v1",
        f"https://host/v1?api_key={PASSWORD}",
    ],
)
def test_an_address_with_a_password_is_refused_and_its_host_named(url: str) -> None:
    with pytest.raises(ValidationError, match="the address of host holds a name, a password or a query") as told:
        ServerRecipe(urls=(url,))
    assert PASSWORD not in told.value.errors()[0]["msg"]


@pytest.mark.parametrize(
    "url",
    [
        f"http://user:{PASSWORD}@host:port/v1",
        f"http:/user:{PASSWORD}@host/v1",
        f"user:{PASSWORD}@host/v1",
        f"http://user:{PASSWORD}/v1",
        f"http://user:{PASSWORD}/x@host/v1",
        f"http://user:x#{PASSWORD}@host/v1",
        f"http://{PASSWORD}#x@host/v1",
        f"http://{PASSWORD}/x@host/v1",
        f"http://host/v1#{PASSWORD}",
        f"http://[{PASSWORD}@host/v1",
        f"ftp://host/{PASSWORD}",
    ],
)
def test_no_malformed_address_is_repeated(url: str) -> None:
    with pytest.raises(ValidationError, match=r"an address holds a name|number 2 is no address of a server") as told:
        ServerRecipe(urls=("http://a/v1", url))
    assert PASSWORD not in told.value.errors()[0]["msg"]


@pytest.mark.parametrize(
    "url", ["http://", "http:///v1", "http://[::1/v1", "http://a:b/v1", "http://a/v1#x", "http://a b/v1", "ftp://a"]
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="is no address of a server"):
        ServerRecipe(urls=(url,))


@pytest.mark.parametrize("end", ["", "\n", "\r\n", " "])
def test_a_key_is_sent_without_the_lines_end_of_its_file(monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", OTHER + end)
    assert Endpoints(ServerRecipe(urls=("http://a/v1",))).headers == {"Authorization": f"Bearer {OTHER}"}


@pytest.mark.parametrize("amid", ["\nX-Evil: 1", "\r", "\x01", "\u00e4", "\u2028x"])
def test_what_is_no_key_is_not_sent_nor_repeated(monkeypatch: pytest.MonkeyPatch, amid: str) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", f"{OTHER}{amid}z")
    settings = ServerRecipe(urls=("http://127.0.0.1:9/v1",), api="chat", attempts=1, longest_wait=0.01)
    for ask in (lambda: ServerEngine("m", settings), lambda: RolloutServers(RolloutServersRecipe(urls=settings.urls))):
        with pytest.raises(InputError, match=r"OPENAI_API_KEY holds a character .*; put the key alone into it") as told:
            ask()
        assert OTHER not in str(told.value)


@pytest.mark.parametrize("setting", ["push_to_hub=true", f"hub_token={TOKEN}", "hub_model_id=a/b"])
@pytest.mark.parametrize("recipe", ["distill/smollm2", "rl/smollm2"])
def test_trainings_send_nothing_to_the_hub(recipe: str, setting: str) -> None:
    with pytest.raises(RecipeError, match="nothing is uploaded during training") as told:
        load_recipe(recipe, [f"trainer.{setting}"])
    assert TOKEN not in str(told.value)


def test_what_is_told_is_told_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_API_KEY", OTHER)
    monkeypatch.setenv("SHORT_KEY", "abc")
    text = f"{OTHER} {KEY} {TOKEN} http://u:{PASSWORD}@host/v1 abc"
    assert redacted(text) == "[hidden] [hidden] [hidden] http://[hidden]@host/v1 abc"


@pytest.mark.parametrize(
    "written",
    [
        'planted/value-of+a"key',
        r"planted\/value-of+a\"key",
        r"planted/value\u002dof\u002Ba\u0022key",
        r"\u0070lanted\u002fvalue-of+a\\\"key",
        r"planted\\\/value\\u002dof+a\\\"key",
    ],
)
def test_secrets_that_json_escapes_are_hidden(monkeypatch: pytest.MonkeyPatch, written: str) -> None:
    monkeypatch.setenv("INTERANK_KEYS", 'first-of-these, planted/value-of+a"key,short')
    assert redacted(f"the server says {written}, first-of-these and short") == (
        "the server says [hidden], [hidden] and short"
    )
    assert without(f"{written}\\u00e9", 'planted/value-of+a"key') == "[hidden]\\u00e9"


def test_secrets_are_looked_for_in_time_that_grows_with_the_text() -> None:
    assert is_linear(lambda text: without(text, OTHER), lambda size: "\\" * size, 50_000)


def test_passwords_of_addresses_in_json_are_hidden() -> None:
    assert redacted(r'{"at": "http:\/\/u:p@ss@host\/v1"}') == r'{"at": "http:\/\/[hidden]@host\/v1"}'


def test_no_text_commands_the_terminal() -> None:
    assert shown("a\x1b[2J\x1b]0;x\x07\u202eb\x9b31m\r\n\tc \u0434\u05d0") == (
        "a\ufffd[2J\ufffd]0;x\ufffd\ufffdb\ufffd31m\r\n\tc \u0434\u05d0"
    )


def echo(number: int, body: dict[str, Any]) -> Answer:
    """A server that repeats the key that it was sent, in replies and refusals."""
    if number % 3 == 0:
        return refused(400, f"bad key {KEY} \x1b]0;owned\x07")
    text = f"Relevance Label: 1\n\nIt says {KEY} and so on."
    choice = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return 200, {"choices": [choice], "usage": {"prompt_tokens": 90, "completion_tokens": 20}}, {}


RECIPE = """
stage: generate
decontaminate: false
mining: {questions: 4, documents_per_question: 2, validation_share: 0.2, processes: 1}
teacher:
  model: m
  engine: openai
  server: {urls: [URL], api: chat, in_flight: 2, attempts: 1, longest_wait: 0.01}
prompt: {order: grade_first, max_length: 1000, max_query_tokens: 64, max_document_tokens: 300}
"""


def test_no_output_holds_a_planted_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", OTHER)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    stub = Stub(echo)
    with serving(stub):
        recipe = tmp_path / "recipe.yaml"
        recipe.write_text(RECIPE.replace("URL", stub.url))
        dumps = resource_dir("data") / "stackexchange"
        assert main(["generate", str(recipe), f"dumps={dumps}", "--out", str(tmp_path / "out")]) == 0
        told = "".join(capsys.readouterr())
    assert any(KEY in headers.get("Authorization", "") for headers in stub.headers)
    written = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert len(written) > 5
    assert any(b"[hidden]" in content for content in written.values())
    assert [
        (str(place), secret)
        for place, content in [*written.items(), ("terminal", told.encode())]
        for secret in SECRETS
        if secret.encode() in content
    ] == []
    assert "\x1b" not in told


def test_an_unforeseen_errors_file_holds_none(tmp_path: Path) -> None:
    code = (
        "import sys, interank.cli.score as score\n"
        "from interank.cli.app import main\n"
        "def broken(options): raise ZeroDivisionError('with ' + options.qrels.name)\n"
        "score._run = broken\n"
        f"sys.argv = ['interank', 'score', {KEY!r}, 'http://u:{PASSWORD}@host/run']\n"
        "sys.exit(main())\n"
    )
    environment = {"TMPDIR": str(tmp_path), "PYTHONPATH": ":".join(sys.path), "OPENAI_API_KEY": KEY}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=60)
    [file] = tmp_path.glob("interank-error-*")
    record = file.read_text("utf-8")
    assert "ZeroDivisionError: with [hidden]" in record
    assert [secret for secret in SECRETS if secret in record + done.stderr + done.stdout] == []
