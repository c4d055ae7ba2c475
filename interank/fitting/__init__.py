"""What is fitted on one split to be used on another: the weight of fusion, a calibrator, when to abstain."""

from interank.fitting.abstention import Abstention, fit_abstention
from interank.fitting.calibrator import Calibrator, Isotonic, Temperature, fit_calibrator
from interank.fitting.fit import FITTED, Fit, FittedOn, Origin, model_digest, query_digest, read_fit, write_fit
from interank.fitting.fusion import Candidates, Fusion, FusionMethod, fit_fusion, fused_ranking, fused_run

__all__ = [
    "FITTED",
    "Abstention",
    "Calibrator",
    "Candidates",
    "Fit",
    "FittedOn",
    "Fusion",
    "FusionMethod",
    "Isotonic",
    "Origin",
    "Temperature",
    "fit_abstention",
    "fit_calibrator",
    "fit_fusion",
    "fused_ranking",
    "fused_run",
    "model_digest",
    "query_digest",
    "read_fit",
    "write_fit",
]
