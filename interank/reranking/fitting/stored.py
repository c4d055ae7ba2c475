"""Fits that lie beside a model's own files, one for each mode, so that whoever opens the model finds them."""

from __future__ import annotations

from pathlib import Path

from interank.artifact import FITS, model_digest
from interank.errors import ArtifactError, InputError
from interank.modes import FITTED_MODES, FittedMode, graded_mode
from interank.reranking.fitting.fit import Fit, read_fit, write_fit
from interank.resources import expanded


def stored_modes(folder: str | Path) -> list[FittedMode]:
    """The modes of the fits that a model's folder stores."""
    return [mode for mode in FITTED_MODES if stored_place(folder, mode)]


def stored_place(folder: str | Path, mode: str) -> Path | None:
    """Where a model's folder stores the fit of a mode, if it does."""
    file = _place(folder, graded_mode(mode))
    return file if file.exists() else None


def fit_file(given: str | Path, mode: str) -> Path:
    """The file that a fit is in: the one given, or that of the mode in the folder given.

    Raises:
        InputError: The folder stores none.
    """
    path = expanded(given)
    if not path.is_dir():
        return path
    if (file := stored_place(path, mode)) is not None:
        return file
    there = " and ".join(f"one of mode {found}" for found in stored_modes(path)) or "no fit"
    raise InputError(
        f"{path} stores {there}, and none of mode {mode}; store it with interank fit EVALUATION --into "
        f"{path}, or give a fit's file"
    )


def fit_for(given: str | Path, mode: str, source: str | Path | None) -> Fit:
    """A fit from a file or a folder, for a model that ranks in a mode; a model without a source takes any.

    Raises:
        InputError: It is of another model or mode, or cannot be read.
    """
    return _checked(fit_file(given, mode), mode, source)


def _checked(file: Path, mode: str, source: str | Path | None) -> Fit:
    found = read_fit(file)
    if source is not None:
        found.check_model(file, model_digest(source), str(source))
    found.check_mode(file, mode)
    return found


def stored_fit(source: str | Path, mode: str) -> Fit | None:
    """What a model's folder stores of a mode and leaves the model's own order as it is; None where there is nothing.

    Raises:
        InputError: It is of another model or mode, or cannot be read.
    """
    file = stored_place(source, mode)
    if file is None:
        return None
    try:
        found = _checked(file, mode, source).without_fusion()
    except InputError as error:
        raise InputError(f"{error}; or remove the file, which goes with {source} unasked") from None
    return found if found.calibrator else None


def store_fit(fit: Fit, folder: Path) -> Path:
    """Put a fit beside the model that it is of, in place of one that is there; its file.

    Raises:
        InputError: It is of another model.
        ArtifactError: The folder cannot be written to.
    """
    file = _place(folder, fit.origin.mode)
    fit.check_model(file, model_digest(folder), str(folder))
    try:
        file.parent.mkdir(exist_ok=True)
        write_fit(fit, file)
    except OSError as error:
        raise ArtifactError(
            f"{file} cannot be written ({error.strerror}); make the folder writable, or use --out FILE"
        ) from None
    return file


def _place(folder: str | Path, mode: str) -> Path:
    return expanded(folder) / FITS / f"{mode}.json"
