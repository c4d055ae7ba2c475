"""Everything behind the routes: models, scheduler, admission control and metrics."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field

from interank.serving.backlog import Backlog, Ticket
from interank.serving.desk import Desk, Entry, tokens_of
from interank.serving.keys import Keys
from interank.serving.limits import Limits
from interank.serving.metrics import Metrics
from interank.serving.opening import Models, Opened
from interank.serving.options import Options
from interank.serving.ranking import Job
from interank.serving.requests import RerankRequest, Text
from interank.serving.schedule import Scheduler

log = logging.getLogger(__name__)

# Tokens of a scoring step: enough to keep a device busy, few enough for a short wait.
_STEP = {"cpu": 2048, "cuda": 32768}
_WARM = "Yeast makes the dough rise, and steam sets the crumb while the loaf is in the oven. "


@dataclass(frozen=True)
class Setup:
    """The configuration of a server."""

    opened: Opened
    limits: Limits = field(default_factory=Limits)
    keys: Keys = field(default_factory=lambda: Keys(()))
    admin: Keys = field(default_factory=lambda: Keys(()))
    step_tokens: int | None = None


class Service:
    """One server's models and requests."""

    def __init__(self, setup: Setup) -> None:
        """Open the models.

        Raises:
            InterankError: A model cannot be loaded, or lacks the requested mode.
        """
        self.setup = setup
        self.limits, self.keys, self.admin = setup.limits, setup.keys, setup.admin
        self.metrics = Metrics()
        self.backlog = Backlog()
        in_process = setup.opened.settings.engine != "openai"
        step_tokens = setup.step_tokens or _STEP["cpu"]
        self.scheduler = Scheduler(step_tokens, self.metrics.step, self.backlog) if in_process else None
        self.desk = Desk(setup.limits, self.backlog, measures=not in_process)
        self.models = Models(setup.opened, self.scheduler)
        device = self.models.get(None).device
        if self.scheduler is not None and setup.step_tokens is None:
            self.scheduler.step_tokens = _STEP.get(device, _STEP["cpu"])
        self.metrics.waiting.set_function(lambda: self.backlog.tokens)
        self.metrics.running.set_function(lambda: len(self.desk.entries))
        self.metrics.ready.set_function(lambda: float(self.ready))
        self._warm = False

    @property
    def ready(self) -> bool:
        """True while requests are accepted: after the warm-up, until the server drains."""
        return self._warm and not self.desk.draining

    def enter(self, job: Job, explained: int, key: str | None = None) -> Entry:
        """Accept a request that explains `explained` documents; listwise ranking counts as one text per document.

        Raises:
            Refusal: The request would not be answered in time.
        """
        request, options, served = job.request, job.options, job.served
        facts = served.facts
        count = len(request.documents) if (options.mode or facts.mode) == "listwise" else explained
        written = count * min(options.max_reasoning_tokens or facts.most_tokens, facts.most_tokens)
        return self.desk.enter(job.ticket, tokens_of(request, served.longest), written, key=key, model=served)

    def warm_up(self) -> None:
        """Rank with each model, to find failures before the first request and to measure the throughput.

        Raises:
            Refusal: A model fails.
        """
        texts = tuple(Text(_WARM * (1 + n % 4)) for n in range(16))
        for served in {id(each): each for _, each in self.models}.values():
            mode = "score" if "score" in served.facts.modes else served.facts.mode
            request = RerankRequest(
                ("Why does bread rise?",), texts[:4] if mode != "score" else texts, served.facts.name
            )
            options = Options(mode=mode, explain=0, max_reasoning_tokens=8)
            first, second = (Job("warm-up", request, options, served, Ticket(), time.monotonic()) for _ in range(2))
            first.answer()
            # The first ranking is slower than later ones, so only the second is measured.
            entry = self.enter(second, 0)
            second.answer()
            self.desk.leave(entry, answered=True)
        self._warm = True
        log.info("ready: about %.0f tokens/s are read", self.backlog.pace or 0.0)

    def close(self) -> None:
        """Shut the threads down."""
        self.desk.close()
        if self.scheduler is not None:
            self.scheduler.close()
