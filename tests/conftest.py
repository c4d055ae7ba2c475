"""Fixtures that several test files share."""

import contextlib
import gc
import logging
import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from tests.support import workers

if TYPE_CHECKING:
    from playwright.sync_api import Browser
    from xdist.remote import Producer

# No test reaches the hub; some libraries would ask it even for what is here.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# Only tests that are marked `own_rewards` may run reward files of their own, whatever the shell allows.
os.environ.pop("INTERANK_ALLOW_CODE", None)

# A verdict hangs neither on chance nor on how busy the machine is; `make fuzz` draws anew, and more.
_SLOW = (hypothesis.HealthCheck.too_slow,)
hypothesis.settings.register_profile("suite", derandomize=True, deadline=None, suppress_health_check=_SLOW)
hypothesis.settings.register_profile("fuzz", max_examples=2000, deadline=None, suppress_health_check=_SLOW)
hypothesis.settings.load_profile("suite")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Several processes begin with what takes long, so that none is left with it at the end."""
    if hasattr(config, "workerinput"):
        workers.longest_first(items)


def pytest_collection_finish() -> None:
    """Let no collection of garbage go through what is imported by now, as each start of a trainer does: it stays."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: "Producer") -> object:
    return workers.scheduler(config, log)


@contextlib.contextmanager
def as_before() -> Iterator[None]:
    """The command sets up log and environment for a process of its own; here it shares one with other tests."""
    environment = dict(os.environ)
    loggers = [logging.getLogger(), logging.getLogger("interank")]
    before = [(logger, logger.level, list(logger.handlers)) for logger in loggers]
    try:
        yield
    finally:
        for logger, level, handlers in before:
            logger.setLevel(level)
            for handler in [one for one in logger.handlers if one not in handlers]:
                logger.removeHandler(handler)
        for name in os.environ.keys() - environment.keys():
            del os.environ[name]
        os.environ.update(environment)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """What is marked so may run rewards of its own; its fixtures may, too."""
    if item.get_closest_marker("own_rewards") is None:
        return (yield)
    with as_before():
        os.environ["INTERANK_ALLOW_CODE"] = "1"
        return (yield)


@pytest.fixture(autouse=True)
def _each_test_as_before() -> Iterator[None]:
    with as_before():
        yield


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[object]) -> Generator[None, object, object]:
    """What several tests share is made before the fixture above stands, so it is looked after here."""
    if fixturedef.scope == "function":
        return (yield)
    with as_before():
        return (yield)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real collections, which cannot be part of the project."""
    folder = os.environ.get("INTERANK_REAL_DATA")
    if not folder:
        pytest.skip("INTERANK_REAL_DATA is not set: no folder of real collections to test on")
    return Path(folder)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random two-layer Llama with its tokenizer."""
    from tests.support.tiny import tiny_model

    return tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def rule_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny base that reads the rule's texts; its training takes most of a minute."""
    from tests.support.rule_model import rule_base as train

    return workers.made_once(tmp_path_factory, "rule", train)


@pytest.fixture(scope="session")
def tiny_adapter(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter artifact on the random model, trained for two steps."""
    from tests.support.adapters import tiny_adapter as make

    return make(tiny_folder, tmp_path_factory.mktemp("artifacts"))


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """A headless Chromium; the test skips where there is none."""
    from tests.support.browser import chromium

    with chromium() as found:
        yield found
