"""Fits of a reranker's scores, made on one split for use on others: fusion weight, calibrator, abstention rule."""

from interank.reranking.fitting.abstention import Abstention, fit_abstention
from interank.reranking.fitting.calibrator import Calibrator, Isotonic, Temperature, fit_calibrator
from interank.reranking.fitting.fit import FITTED, Fit, FittedOn, Origin, query_digest, read_fit, write_fit
from interank.reranking.fitting.fusion import Candidates, Fusion, FusionMethod, fit_fusion, fused_run
from interank.reranking.fitting.storage import (
    fit_file,
    fit_for,
    store_fit,
    stored_fit,
    stored_modes,
    stored_place,
)

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
    "fit_file",
    "fit_for",
    "fit_fusion",
    "fused_run",
    "query_digest",
    "read_fit",
    "store_fit",
    "stored_fit",
    "stored_modes",
    "stored_place",
    "write_fit",
]
