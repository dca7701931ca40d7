"""What a fit says of one star: labels, velocity, errors, quality, and the spectrum that was fitted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from processing.preparation.masks import NO_DATA
from processing.preparation.prepare import Observation, Prepared
from processing.spectrum import Frame

if TYPE_CHECKING:
    from processing.labels.model_file import LabelModel


LOOKS_COMPUTED = "It looks computed: what sets real spectra apart from the physical ones is not in it."
"""A remark in a fit's note and no blame: labels of such spectra come out right."""


@dataclass(frozen=True)
class LabelFit:
    """The fit of one star: labels, velocity, errors, and the spectrum that was fitted.

    Parameters
    ----------
    star_id : str
    labels : tuple of str
        Machine names.
    values : ndarray, shape (n_label,)
        NaN when the spectrum could not be fitted; `note` says why.
    rv : float
        km/s, positive when receding, in the frame of the spectrum's wavelengths (barycentric for MUSE cubes).
    covariance : ndarray, shape (n_label + 1, n_label + 1)
        (J^T C^-1 J)^-1 with the pipeline's raw errors, pixels as if independent (the paper's ``X_err``), velocity
        last; the prior on abundances counts as data.
    covariance_scaled : ndarray, shape (n_label + 1, n_label + 1)
        The same from the errors times `error_scale`, carried exactly through degrading and resampling, which
        correlate neighbouring pixels.
    error_scale : float
        Robust standard deviation of (P - O)/e: how many times too small the errors are.
    red_chi2, corr_flux : float
        Eq. 3 with raw errors, divided by the number of pixels, and the Pearson correlation of fit and flux.
    n_pix, n_masked, n_replaced, n_coarser : int
        Pixels fitted, not fitted, replaced for a sky-line residual (input pixels), and fitted where the input is
        coarser than the model.
    converged, extrapolated, in_scope : bool
        Whether the minimum was reached; a label that the spectrum determines lies outside what the model was trained
        on (`processing.labels.scope.outside`); the object looks like the stars that the model knows.
    wave : ndarray, shape (n_pix,)
        The model's grid, Angstrom in its frame, at rest.
    flux, ivar : ndarray, shape (n_pix,), float32
        Pseudo-normalised; flux NaN where there are no data, ivar 0 where not fitted.
    best : ndarray, shape (n_pix,), float32
        Best-fitting model.
    mask_reason : ndarray, shape (n_pix,), uint16
        Why a pixel was not fitted (`processing.preparation.masks.MASK_NAMES`).
    note : str
        Sentences for the user; empty when all is well.
    lsf_fwhm : ndarray, shape (n_pix,), or None
        Resolution at which the star was fitted, FWHM in Angstrom; None: the model's own.
    gradcorr, gradcorr_info : ndarray, shape (n_label,), or None
        How the network's gradients agree with the physical ones, each fitted pixel alike, and each by its information
        (`processing.labels.gradients.check_gradients`, as what follows); None before they are checked.
    bound : ndarray, shape (n_label,), or None
        Cramer-Rao bounds of this spectrum from physical gradients, with rescaled errors and without priors.
    grad_distance : float
        Distance to the template of the physical gradients (Eq. 4).
    frame : {"air", "vacuum"}
        Of `wave`.
    covariance_model : ndarray, shape (n_label + 1, n_label + 1), or None
        Of the labels and rv, from the model's own error (`processing.labels.model_error`); None where it is unknown.
    poor_weight : float
        Weight of a mixture's metal-poor network (`processing.labels.mixture`).
    prior : str
        Gaussian priors besides those on abundances, as ``teff 5200+-100``.
    arms_velocity, arms_split : float
        What was taken off the part redward of a wavelength besides rv, which is then the blue part's (km/s), and that
        wavelength, Angstrom in air as observed; NaN where the spectrum was fitted with one velocity.
    """

    star_id: str
    labels: tuple[str, ...]
    values: np.ndarray
    rv: float
    covariance: np.ndarray
    covariance_scaled: np.ndarray
    error_scale: float
    red_chi2: float
    corr_flux: float
    n_pix: int
    n_masked: int
    n_replaced: int
    n_coarser: int
    converged: bool
    extrapolated: bool
    in_scope: bool
    wave: np.ndarray
    flux: np.ndarray
    ivar: np.ndarray
    best: np.ndarray
    mask_reason: np.ndarray
    note: str = ""
    lsf_fwhm: np.ndarray | None = None
    gradcorr: np.ndarray | None = None
    gradcorr_info: np.ndarray | None = None
    bound: np.ndarray | None = None
    grad_distance: float = float("nan")
    frame: Frame = "air"
    covariance_model: np.ndarray | None = None
    poor_weight: float = 0.0
    prior: str = ""
    arms_velocity: float = float("nan")
    arms_split: float = float("nan")

    @property
    def covariance_total(self) -> np.ndarray:
        """Covariance of the labels and rv from noise, as `covariance_scaled`, and from the model's own error."""
        return self.covariance_scaled + (0.0 if self.covariance_model is None else self.covariance_model)

    @property
    def rv_err(self) -> float:
        """Error of the velocity in km/s, from `covariance_total`."""
        return float(np.sqrt(self.covariance_total[-1, -1]))

    def errors(self) -> np.ndarray:
        """Formal 1-sigma errors of the labels from the raw errors."""
        return np.sqrt(np.diag(self.covariance)[:-1])

    def errors_scaled(self) -> np.ndarray:
        """1-sigma errors of the labels: noise rescaled, correlation of neighbouring pixels, the model's own error."""
        return np.sqrt(np.diag(self.covariance_total)[:-1])

    def errors_noise(self) -> np.ndarray:
        """1-sigma errors of the labels from noise alone, rescaled and with the correlation of neighbouring pixels."""
        return np.sqrt(np.diag(self.covariance_scaled)[:-1])

    def errors_model(self) -> np.ndarray:
        """1-sigma errors of the labels from the model's own error alone; NaN where it is unknown."""
        if self.covariance_model is None:
            return np.full(len(self.labels), np.nan)
        return np.sqrt(np.maximum(np.diag(self.covariance_model)[:-1], 0))


def no_fit(star: Observation, model: LabelModel, prepared: Prepared, i: int) -> LabelFit:
    """Say why a spectrum cannot be fitted."""
    n_label, n_pix = len(model.labels), model.wave.size
    left = int((prepared.ivar[i] > 0).sum())
    if not (star.reason != NO_DATA).any() or not (star.flux[star.ivar > 0] != 0).any():
        note = "The spectrum holds no data."
    else:
        note = f"Only {left} of {n_pix} pixels can be fitted, too few for {n_label} labels."
    nothing = np.full((n_label + 1, n_label + 1), np.nan)
    return LabelFit(
        star_id=star.star_id, labels=model.labels, values=np.full(n_label, np.nan), rv=np.nan, covariance=nothing,
        covariance_scaled=nothing, error_scale=np.nan, red_chi2=np.nan, corr_flux=np.nan, n_pix=left,
        n_masked=n_pix - left, n_replaced=star.n_replaced, n_coarser=int(prepared.n_coarser[i]), converged=False,
        extrapolated=False, in_scope=False, wave=model.wave,
        flux=np.where(prepared.weight[i] > 0, prepared.flux[i], np.nan).astype(np.float32),
        ivar=prepared.ivar[i], best=np.full(n_pix, np.nan, np.float32), mask_reason=prepared.reason[i], note=note,
        frame=model.frame,
    )  # fmt: skip
