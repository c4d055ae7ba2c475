"""The sections of recipes: strict, frozen values with their defaults."""

from interank.settings.adaptive import AdaptiveRecipe, Spending
from interank.settings.explanations import FAULTS, ExplanationsRecipe, Fault
from interank.settings.heads import HeadSettings
from interank.settings.links import LinkRecipe
from interank.settings.listwise import (
    ListPromptSettings,
    ListwiseRecipe,
    OrderingsRecipe,
    WindowMethod,
    WindowPromptSettings,
)
from interank.settings.mining import ColumnsRecipe, DocumentsRecipe, MiningRecipe
from interank.settings.policy import (
    CollapseDetectionRecipe,
    GradeRecipe,
    HardExamplesRecipe,
    RewardWeightedRecipe,
    TrialRecipe,
)
from interank.settings.prompts import PromptSettings, Quantisation
from interank.settings.rewards import RewardRecipe
from interank.settings.rollouts import RolloutServersRecipe, RolloutsRecipe, RolloutVllmRecipe
from interank.settings.servers import ServersRecipe
from interank.settings.student import LoraRecipe
from interank.settings.teacher import MAX_QUERIES, BudgetRecipe, RateRecipe, ServerRecipe, TeacherRecipe, VllmRecipe

__all__ = [
    "FAULTS",
    "MAX_QUERIES",
    "AdaptiveRecipe",
    "BudgetRecipe",
    "CollapseDetectionRecipe",
    "ColumnsRecipe",
    "DocumentsRecipe",
    "ExplanationsRecipe",
    "Fault",
    "GradeRecipe",
    "HardExamplesRecipe",
    "HeadSettings",
    "LinkRecipe",
    "ListPromptSettings",
    "ListwiseRecipe",
    "LoraRecipe",
    "MiningRecipe",
    "OrderingsRecipe",
    "PromptSettings",
    "Quantisation",
    "RateRecipe",
    "RewardRecipe",
    "RewardWeightedRecipe",
    "RolloutServersRecipe",
    "RolloutVllmRecipe",
    "RolloutsRecipe",
    "ServerRecipe",
    "ServersRecipe",
    "Spending",
    "TeacherRecipe",
    "TrialRecipe",
    "VllmRecipe",
    "WindowMethod",
    "WindowPromptSettings",
]
