"""Fits stored in a model's folder, one per mode, which apply whenever the model is opened."""

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
    """The file of a mode's fit in a model's folder; None if it stores none."""
    file = _place(folder, graded_mode(mode))
    return file if file.exists() else None


def fit_file(given: str | Path, mode: str) -> Path:
    """A fit's file: the given one, or the mode's fit in the given folder.

    Raises:
        InputError: The folder stores no fit of the mode.
    """
    path = expanded(given)
    if not path.is_dir():
        return path
    if (file := stored_place(path, mode)) is not None:
        return file
    others = " and ".join(f"a fit of mode {other}" for other in stored_modes(path))
    raise InputError(
        f"{path} stores {f'{others}, but ' if others else ''}no fit of mode {mode}; store one with interank fit "
        f"EVALUATION --into {path}, or give a fit's file"
    )


def fit_for(given: str | Path, mode: str, source: str | Path | None) -> Fit:
    """Read a fit from a file or folder, and check its mode and, if there is a `source`, its model.

    Raises:
        InputError: The fit belongs to another model or mode, or cannot be read.
    """
    return _checked(fit_file(given, mode), mode, source)


def _checked(file: Path, mode: str, source: str | Path | None) -> Fit:
    fit = read_fit(file)
    if source is not None:
        fit.check_model(file, model_digest(source), str(source))
    fit.check_mode(file, mode)
    return fit


def stored_fit(source: str | Path, mode: str) -> Fit | None:
    """The fit of a mode in a model's folder, without its fusion; None if there is no calibrator.

    Raises:
        InputError: The fit belongs to another model or mode, or cannot be read.
    """
    file = stored_place(source, mode)
    if file is None:
        return None
    try:
        fit = _checked(file, mode, source).without_fusion()
    except InputError as error:
        raise InputError(f"{error}; or remove the file, which applies whenever {source} is opened") from None
    return fit if fit.calibrator else None


def store_fit(fit: Fit, folder: Path) -> Path:
    """Store a fit in its model's folder, replacing an earlier one of its mode; return its file.

    Raises:
        InputError: The fit belongs to another model.
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
