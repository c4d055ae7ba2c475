"""Several adapters on one base, chosen by `model`: each scores as it does alone, and comes and goes by its name."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from interank import Reranker
from interank.engines.models import find_model
from interank.engines.prompts import Prompt
from interank.engines.protocol import Sampling
from interank.engines.side_by_side import SharedBase
from interank.errors import InputError, ModelError
from interank.serving.app import make_app
from interank.serving.keys import Keys
from interank.serving.models import ServedLanguageModel
from interank.serving.opening import Models, Opened
from interank.serving.service import Service, Setup
from interank.settings import HeadSettings
from interank.tasks.ranker_settings import RankerSettings
from interank.types import Document, Query
from tests.support import rule
from tests.support.tiny_heads import tiny_adapter_head, tiny_base, tiny_head

QUERY = "Where is the red fox?"
TEXTS = [rule.document_text("red", animal, "barn") for animal in rule.ANIMALS]
DOMAINS = ("medical", "legal", "general")
READS = HeadSettings(max_length=96)
ADMIN = {"authorization": "Bearer ruler"}


def asked(service: Service, method: str, path: str, body: Any = None, **headers: str) -> httpx2.Response:
    async def run() -> httpx2.Response:
        transport = httpx2.ASGITransport(make_app(service))
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as made:
            return await made.request(method, path, json=body, headers=headers)

    return asyncio.run(run())


def scores(service: Service, model: str | None, **more: Any) -> dict[str, float]:
    body = {"query": QUERY, "documents": TEXTS, "model": model, **more}
    reply = asked(service, "POST", "/rerank", body, **ADMIN)
    assert reply.status_code == 200, reply.text
    return {str(item["index"]): item["raw_score"] for item in reply.json()["results"]}


def alone(source: Path) -> dict[str, float]:
    return {item.doc_id: item.score for item in Reranker(source).rank(QUERY, TEXTS)}


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("domains")
    base = tiny_base(folder / "base")
    return {
        name: tiny_adapter_head(folder / name, base, READS, seed=seed) for seed, name in enumerate(DOMAINS, start=1)
    }


def test_the_heads_of_three_domains_on_one_base_score_as_each_does_alone(heads: dict[str, Path]) -> None:
    rest = {name: str(heads[name]) for name in DOMAINS[1:]}
    service = Service(Setup(Opened(RankerSettings(str(heads["medical"])), rest)))
    service.warm_up()
    found = {name: scores(service, name) for name in DOMAINS}
    for name in DOMAINS:
        assert found[name] == pytest.approx(alone(heads[name]), abs=1e-4), name
    assert found["medical"] == scores(service, None) != pytest.approx(found["legal"], abs=1e-3)
    rows = {row["id"]: row for row in asked(service, "GET", "/v1/models").json()["data"]}
    assert rows.keys() == set(DOMAINS) and {row["score_kind"] for row in rows.values()} == {"head"}
    refused = asked(service, "POST", "/rerank", {"query": QUERY, "documents": TEXTS, "explain": 1})
    assert refused.status_code == 422 and "cannot explain" in refused.json()["message"]
    service.close()


def test_merged_heads_are_served_side_by_side_each_with_its_own_base(heads: dict[str, Path], tmp_path: Path) -> None:
    base = heads["medical"].parent / "base"
    whole = {name: tiny_head(tmp_path / name, base, READS, seed=seed) for seed, name in enumerate(DOMAINS[:2])}
    service = Service(Setup(Opened(RankerSettings(str(whole["medical"])), {"legal": str(whole["legal"])})))
    for name, folder in whole.items():
        assert scores(service, name) == pytest.approx(alone(folder), abs=1e-4)
    service.close()


def test_a_head_comes_and_goes_beside_another_on_its_base(heads: dict[str, Path]) -> None:
    opened = Opened(RankerSettings(str(heads["medical"])), root=heads["medical"].parent)
    service = Service(Setup(opened, admin=Keys(["ruler"])))
    expected = {name: alone(heads[name]) for name in DOMAINS[:2]}
    for _ in range(2):
        loaded = asked(service, "POST", "/v1/adapters", {"name": "legal"}, **ADMIN)
        assert loaded.status_code == 201 and loaded.json()["score_kind"] == "head", loaded.text
        for name in DOMAINS[:2]:
            assert scores(service, name) == pytest.approx(expected[name], abs=1e-4)
        assert asked(service, "DELETE", "/v1/adapters/legal", **ADMIN).status_code == 200
        assert scores(service, "medical") == pytest.approx(expected["medical"], abs=1e-4)
    # The folder of the base is no adapter.
    assert asked(service, "POST", "/v1/adapters", {"name": "base"}, **ADMIN).status_code == 422
    service.close()


@pytest.fixture(scope="module")
def root(tiny_adapter: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("root")
    shutil.copytree(tiny_adapter / "adapter", made / "legal")
    shutil.copytree(tiny_adapter / "adapter", made / "pickled")
    (made / "pickled" / "adapter_model.safetensors").rename(made / "pickled" / "adapter_model.bin")
    (made / "elsewhere").symlink_to(tiny_adapter / "adapter")
    return made


@pytest.fixture(scope="module")
def judges(tiny_folder: Path, tiny_adapter: Path, root: Path) -> Iterator[Service]:
    opened = Opened(RankerSettings(str(tiny_folder)), {"judge": str(tiny_adapter)}, ("base",), root)
    made = Service(Setup(opened, keys=Keys(["key"]), admin=Keys(["ruler"])))
    made.warm_up()
    yield made
    made.close()


def test_a_base_and_its_adapter_are_served_together(judges: Service, tiny_folder: Path, tiny_adapter: Path) -> None:
    own = alone(tiny_adapter)
    assert scores(judges, "judge") == pytest.approx(own, abs=1e-4)
    assert scores(judges, "base") == pytest.approx(alone(tiny_folder), abs=1e-4)
    body = {"query": QUERY, "documents": TEXTS, "model": "base", "mode": "listwise"}
    listed = asked(judges, "POST", "/rerank", body, **ADMIN).json()["results"]
    assert {str(item["index"]) for item in listed} == own.keys() and {item["score_kind"] for item in listed} == {"rank"}
    falling = [item["relevance_score"] for item in listed]
    assert falling == sorted(set(falling), reverse=True) and falling[0] == 1.0
    assert {item["grade"] for item in listed} == {None}
    refused = asked(judges, "POST", "/rerank", {**body, "explain": 1}, **ADMIN)
    assert refused.status_code == 422 and "mode listwise" in refused.json()["message"]
    assert scores(judges, "judge", explain=2) == pytest.approx(own, abs=1e-4)


def test_a_base_that_writes_and_its_adapter_each_score_in_between_as_they_do_alone(judges: Service) -> None:
    base, judge = (judges.models.get(name) for name in ("base", "judge"))
    assert isinstance(base, ServedLanguageModel) and isinstance(judge, ServedLanguageModel)
    encoder, query = base.encoder, Query("q", QUERY)
    prompts = [encoder.prompt(query, Document("d", text), answer_tokens=16) for text in TEXTS[:2]]
    engines: list[Any] = [base.engine, judge.engine]
    scored = [engine.label_logits(prompts, encoder.label_ids) for engine in engines]
    assert scored[0] != scored[1]
    for engine in engines:
        alone = engine.generate(prompts, Sampling(8, 0), end=encoder.end)
        between: list[Any] = []

        def score(_: Any, found: list[Any] = between) -> frozenset[int]:
            found.append([each.label_logits(prompts, encoder.label_ids) for each in engines])
            return frozenset()

        engine.between = score
        assert engine.generate(prompts, Sampling(8, 0), end=encoder.end) == alone
        engine.between = None
        assert between and all(found == scored for found in between)


def test_adapters_come_and_go_by_name_from_one_root_with_an_admin_key(judges: Service) -> None:
    assert asked(judges, "POST", "/v1/adapters", {"name": "legal"}, authorization="Bearer key").status_code == 401
    expected = scores(judges, "judge")
    loaded = asked(judges, "POST", "/v1/adapters", {"name": "legal"}, **ADMIN)
    assert loaded.status_code == 201 and loaded.json()["removable"], loaded.text
    assert asked(judges, "POST", "/v1/adapters", {"name": "legal"}, **ADMIN).status_code == 422
    assert scores(judges, "legal").keys() == expected.keys()
    assert scores(judges, "judge") == pytest.approx(expected, abs=1e-5)
    assert asked(judges, "DELETE", "/v1/adapters/legal", **ADMIN).status_code == 200
    gone = asked(judges, "POST", "/rerank", {"query": QUERY, "documents": TEXTS, "model": "legal"}, **ADMIN)
    assert gone.status_code == 404
    assert asked(judges, "DELETE", "/v1/adapters/judge", **ADMIN).status_code == 422
    assert scores(judges, "judge") == pytest.approx(expected, abs=1e-5)


def test_an_adapter_that_is_let_go_of_first_answers_what_is_under_way(judges: Service) -> None:
    assert asked(judges, "POST", "/v1/adapters", {"name": "legal"}, **ADMIN).status_code == 201
    body = {"query": QUERY, "documents": [f"{text} {n}" for n in range(6) for text in TEXTS], "model": "legal"}
    assert judges.scheduler is not None
    steps, judges.scheduler.step_tokens = judges.scheduler.step_tokens, 64

    async def run() -> tuple[httpx2.Response, httpx2.Response, httpx2.Response]:
        transport = httpx2.ASGITransport(make_app(judges))
        async with httpx2.AsyncClient(transport=transport, base_url="http://test", headers=ADMIN) as made:
            ranking = asyncio.create_task(made.post("/rerank", json=body))
            while not judges.desk.entries:
                await asyncio.sleep(0)
            removing = asyncio.create_task(made.delete("/v1/adapters/legal"))
            while "legal" in dict(judges.models):
                await asyncio.sleep(0)
            return await made.post("/rerank", json=body), await removing, await ranking

    try:
        late, removed, ranked = asyncio.run(run())
    finally:
        judges.scheduler.step_tokens = steps
    assert (late.status_code, removed.status_code, ranked.status_code) == (404, 200, 200), ranked.text
    expected = scores(judges, "judge", documents=body["documents"])
    assert {str(item["index"]): item["raw_score"] for item in ranked.json()["results"]} == pytest.approx(
        expected, abs=1e-5
    )


def test_a_base_is_itself_again_when_its_only_adapter_has_gone(tiny_folder: Path, tiny_adapter: Path) -> None:
    base, prompts = SharedBase(find_model(str(tiny_folder))), [Prompt((5, 6, 7), (8, 9), (10,))]
    alone = base.bare().label_logits(prompts, [1, 2, 3])
    for _ in range(2):
        adapter = base.add(tiny_adapter / "adapter")
        assert adapter.label_logits(prompts, [1, 2, 3]) != alone
        base.remove(adapter)
        assert base.bare().label_logits(prompts, [1, 2, 3]) == alone


def test_each_adapter_goes_on_from_its_own_beginning(tiny_folder: Path, tiny_adapter: Path) -> None:
    base, beginning = SharedBase(find_model(str(tiny_folder))), tuple(range(5, 45))
    prompts = [Prompt((*beginning, 46), (47, 48), (49,)), Prompt((50,), (51,), ())]
    engines = [base.bare(), base.add(tiny_adapter / "adapter")]
    expected = [engine.label_logits(prompts, [1, 2, 3]) for engine in engines]
    for engine in engines:
        engine.beginning = engine.read_beginning(beginning)
    for engine, own in [*zip(engines, expected, strict=True)] * 2:
        for found, plain in zip(engine.label_logits(prompts, [1, 2, 3]), own, strict=True):
            assert found.logits == pytest.approx(plain.logits, abs=1e-5)


@pytest.mark.parametrize("first", [True, False])
def test_an_adapter_that_does_not_fit_leaves_nothing_in_the_base(
    tiny_folder: Path, tiny_adapter: Path, tmp_path: Path, first: bool
) -> None:
    base, prompts = SharedBase(find_model(str(tiny_folder))), [Prompt((5, 6, 7), (8, 9), (10,))]
    if not first:
        base.add(tiny_adapter / "adapter")
    broken = shutil.copytree(tiny_adapter / "adapter", tmp_path / "broken")
    settings = json.loads((broken / "adapter_config.json").read_text("utf-8"))
    (broken / "adapter_config.json").write_text(json.dumps({**settings, "init_lora_weights": False}), "utf-8")
    (broken / "adapter_model.safetensors").rename(broken / "adapter_model.bin")
    alone, names = base.bare().label_logits(prompts, [1, 2, 3]), {*base.engine.model.state_dict()}
    with pytest.raises(ModelError):
        base.add(broken)
    assert base.bare().label_logits(prompts, [1, 2, 3]) == alone and {*base.engine.model.state_dict()} == names


@pytest.mark.parametrize("engine", ["openai", "vllm"])
def test_adapters_are_loaded_at_run_time_in_this_process_alone(tiny_folder: Path, tmp_path: Path, engine: Any) -> None:
    with pytest.raises(InputError, match=f"engine {engine}, and only engine transformers loads adapters at run time"):
        Models(Opened(RankerSettings(str(tiny_folder), engine=engine), root=tmp_path), None)


@pytest.mark.parametrize(
    ("name", "status"),
    [("pickled", 422), ("elsewhere", 404), ("../legal", 404), ("nobody", 404), ("", 404), (7, 422), (None, 422)],
)
def test_nothing_but_an_adapter_of_the_root_in_safetensors_is_loaded(judges: Service, name: Any, status: int) -> None:
    reply = asked(judges, "POST", "/v1/adapters", {"name": name}, **ADMIN)
    assert reply.status_code == status and reply.json()["message"], reply.text


def test_an_adapter_of_a_task_that_no_server_asks_is_told_who_asks_it(tiny_adapter: Path, tmp_path: Path) -> None:
    adapter = shutil.copytree(tiny_adapter, tmp_path / "adapter")
    manifest = json.loads((adapter / "manifest.json").read_text("utf-8"))
    (adapter / "manifest.json").write_text(json.dumps(manifest | {"task": "duel"}), "utf-8")
    with pytest.raises(InputError, match=r"trained on task duel.* interank rerank"):
        Service(Setup(Opened(RankerSettings(str(adapter)))))


def test_a_name_that_two_would_have_is_refused(tiny_folder: Path, tiny_adapter: Path) -> None:
    with pytest.raises(InputError, match="given twice"):
        Service(Setup(Opened(RankerSettings(str(tiny_folder)), {"a": str(tiny_adapter)}, ("a",))))
