"""From observed spectra to the model's grid, frame, resolution and pseudo-continuum."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from processing.preparation.air import in_frame, shifted
from processing.preparation.clean import at_sky_line, clean_sky_lines
from processing.preparation.lsf import Match, lsf_fwhm, match
from processing.preparation.masks import (
    BALMER,
    BALMER_CORES,
    EDGE,
    MASK_NAMES,
    MODEL,
    NO_DATA,
    USER,
    inside,
    observed_mask,
)
from processing.preparation.resample import Resampler, rebinning_matrix, smoothing_matrix
from processing.settings import PreparationSettings
from processing.spectrum import Frame, MetaValue, StarSpectrum

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from processing.labels.model_file import LabelModel

Grid = tuple[int, int, int]
"""Equal for spectra that have wavelengths and line spread function in common."""

VELOCITY_STEP = 2.0
"""Spectra are brought to rest in steps of this many km/s (3 % of a pixel); what is left over is fitted. Stars that
share a step and a wavelength grid share one operator."""
REACHED = 0.3
"""Part of a pixel's kernel from which on it counts as one within a sky line."""


class Arms(NamedTuple):
    """Where the red arm of a spectrograph begins, Angstrom in vacuum, and by how much its light recedes faster."""

    split: float = np.inf
    velocity: float = 0.0


ONE_ARM = Arms()


@dataclass(frozen=True)
class Observation:
    """A spectrum as observed, cleaned and masked; whatever does not depend on the star's velocity.

    Parameters
    ----------
    star_id : str
    wave : ndarray, shape (n_wave,)
        Angstrom in vacuum, as observed.
    flux, ivar : ndarray, shape (n_wave,), float64
        In units of the spectrum's median flux; ivar 0 where masked.
    reason : ndarray, shape (n_wave,), uint16
        Why a pixel is masked (bits of `processing.preparation.masks`).
    not_fitted : ndarray, shape (n_wave,), bool
        Pixels that count for the pseudo-continuum but lie at the ends or outside the limits of the fit.
    fwhm : ndarray, shape (n_wave,)
        Line spread function in Angstrom.
    n_replaced : int
        Pixels with sky-line residuals that were replaced.
    grid : Grid
    at_sky : ndarray, shape (n_wave,), bool
        Where an airglow line may have left something.
    meta : mapping
        The spectrum's own.
    """

    star_id: str
    wave: np.ndarray
    flux: np.ndarray
    ivar: np.ndarray
    reason: np.ndarray
    not_fitted: np.ndarray
    fwhm: np.ndarray
    n_replaced: int
    grid: Grid
    at_sky: np.ndarray
    meta: Mapping[str, MetaValue] = field(default_factory=dict)


@dataclass(frozen=True)
class Operators:
    """Resampling operators by wavelength grid and velocity, so that stars with both in common share them."""

    model: LabelModel
    settings: PreparationSettings
    smoothing: dict[Grid, tuple[csr_array, np.ndarray]] = field(default_factory=dict)
    complete: dict[tuple[Grid, float, Arms], Resampler] = field(default_factory=dict)

    def get(self, observation: Observation, velocity: float, arms: Arms = ONE_ARM) -> Resampler:
        """Operator from an observation to the model's grid and resolution at a velocity in km/s, the blue arm's."""
        from scipy.sparse import vstack

        key = (observation.grid, velocity, arms)
        if key not in self.complete:
            smoothing, _ = self._smoothing(observation)
            matrix = self._rebinning(observation, velocity)
            if arms.velocity:
                red = self._rebinning(observation, velocity + arms.velocity)
                first = int(self.red_part(velocity, arms).argmax())
                matrix = vstack([matrix[:first], red[first:]], format="csr")
            self.complete[key] = Resampler(matrix @ smoothing)
        return self.complete[key]

    def keep(self, used: set[tuple[Grid, float, Arms]]) -> None:
        """Forget all complete operators but some: each takes a megabyte."""
        for key in self.complete.keys() - used:
            del self.complete[key]

    def red_part(self, velocity: float, arms: Arms) -> np.ndarray:
        """Tell which pixels of the model's grid a star at a velocity has from the red arm, shape (n_pix,), bool."""
        split = shifted(np.array([arms.split]), "vacuum", velocity, self.model.frame)
        return np.asarray(self.model.wave >= split)

    def _rebinning(self, observation: Observation, velocity: float) -> csr_array:
        return rebinning_matrix(shifted(observation.wave, "vacuum", velocity, self.model.frame), self.model.wave)

    def coarser(self, observation: Observation) -> np.ndarray:
        """Where the observation is coarser than the model, shape (n_pix,), bool."""
        return self._smoothing(observation)[1]

    def _smoothing(self, observation: Observation) -> tuple[csr_array, np.ndarray]:
        """Smoothing as observed: a constant resolving power is the same there as at rest."""
        if observation.grid not in self.smoothing:
            found = self._match(observation)
            self.smoothing[observation.grid] = smoothing_matrix(found.variance), found.coarser
        return self.smoothing[observation.grid]

    def reached(self, observation: Observation) -> np.ndarray:
        """Resolution of the prepared spectrum, FWHM in Angstrom, shape (n_pix,)."""
        if self.settings.degrade == "published":
            return self.model.lsf_fwhm
        return self._match(observation).reached

    def _match(self, observation: Observation) -> Match:
        model, wave = self.model, in_frame(observation.wave, "vacuum", self.model.frame)
        return match(wave, observation.fwhm, model.wave, model.lsf_fwhm, self.settings.degrade)


@dataclass(frozen=True)
class Prepared:
    """A batch of spectra as the model's training spectra were: same grid, rest frame, resolution, pseudo-continuum.

    Parameters
    ----------
    flux : ndarray, shape (n, n_pix), float32
        Pseudo-normalised; 1 where there is no flux.
    ivar : ndarray, shape (n, n_pix), float32
        0 where the pixel is not fitted.
    weight : ndarray, shape (n, n_pix), float32
        What each pixel weighed in the pseudo-continuum; some of these pixels are not fitted.
    continuum : ndarray, shape (n, n_pix), float32
    reason : ndarray, shape (n, n_pix), uint16
        Why a pixel is not fitted; 0 where it is.
    velocity : ndarray, shape (n,)
        km/s that were taken off, a multiple of `VELOCITY_STEP`.
    n_coarser : ndarray, shape (n,), int
        Fitted pixels whose input is coarser than the model.
    at_sky : ndarray, shape (n, n_pix), bool
        Pixels that an airglow line reaches.
    """

    flux: np.ndarray
    ivar: np.ndarray
    weight: np.ndarray
    continuum: np.ndarray
    reason: np.ndarray
    velocity: np.ndarray
    n_coarser: np.ndarray
    at_sky: np.ndarray

    def take(self, index: np.ndarray) -> Prepared:
        """Return some of the spectra."""
        return Prepared(**{entry.name: getattr(self, entry.name)[index] for entry in fields(self)})

    def put(self, index: np.ndarray, other: Prepared) -> None:
        """Overwrite some of the spectra, in place."""
        for entry in fields(self):
            getattr(self, entry.name)[index] = getattr(other, entry.name)


def nearest_step(velocities: np.ndarray) -> np.ndarray:
    """Round velocities to `VELOCITY_STEP`."""
    return np.round(np.asarray(velocities, float) / VELOCITY_STEP) * VELOCITY_STEP


def input_fwhm(spectrum: StarSpectrum, settings: PreparationSettings) -> np.ndarray:
    """Line spread function of a spectrum in Angstrom: its own, or the settings' preset."""
    if spectrum.lsf_fwhm is not None:
        return np.asarray(spectrum.lsf_fwhm, float)
    name = settings.lsf
    if name.strip().lower() == "auto":
        name = "lamost" if "lamost" in str(spectrum.meta.get("instrument", "")).lower() else "muse-udf10"
    return lsf_fwhm(name, in_frame(spectrum.wave, spectrum.frame, "air"))


def grid_of(spectrum: StarSpectrum, fwhm: np.ndarray) -> Grid:
    """Return what is equal for spectra that share their operators."""
    return hash(spectrum.wave.tobytes()), hash(fwhm.tobytes()), hash(spectrum.frame)


@lru_cache(maxsize=8)
def _wavelengths(wave_bytes: bytes, frame: Frame) -> tuple[np.ndarray, np.ndarray]:
    """Wavelengths of one grid in air and in vacuum, which all spectra on it share."""
    wave = np.frombuffer(wave_bytes)
    return in_frame(wave, frame, "air"), in_frame(wave, frame, "vacuum")


def observe(spectrum: StarSpectrum, model: LabelModel, settings: PreparationSettings) -> Observation:
    """Mask and clean one spectrum.

    Parameters
    ----------
    spectrum : StarSpectrum
    model : LabelModel
        Says whether its training lacked the dichroic gap.
    settings : PreparationSettings
    """
    air, vacuum = _wavelengths(spectrum.wave.astype(float).tobytes(), spectrum.frame)
    fwhm = input_fwhm(spectrum, settings)
    good = spectrum.good & np.isfinite(spectrum.ivar) & np.isfinite(fwhm) & (fwhm > 0)
    flux, ivar = np.where(good, spectrum.flux, 0.0).astype(float), np.where(good, spectrum.ivar, 0.0).astype(float)
    level = abs(np.median(flux[good])) if good.any() else 1.0
    level = level if level > 0 else 1.0
    flux, ivar = flux / level, ivar * level**2
    reason = observed_mask(air, good, spectrum.barycentric, settings, dichroic=model.masks_dichroic)
    ivar[reason > 0] = 0.0
    replaced = at_sky = np.zeros(air.size, bool)
    if settings.clean_sky:
        at_sky = at_sky_line(air, fwhm, spectrum.barycentric)
        flux, ivar, replaced = clean_sky_lines(air, flux, ivar, fwhm, spectrum.barycentric)
    return Observation(
        star_id=spectrum.star_id,
        wave=vacuum,
        flux=flux,
        ivar=ivar,
        reason=reason,
        not_fitted=_outside_limits(air, ivar > 0, settings),
        fwhm=np.where(np.isfinite(fwhm) & (fwhm > 0), fwhm, np.nanmedian(fwhm)),
        n_replaced=int(replaced.sum()),
        grid=grid_of(spectrum, fwhm),
        at_sky=at_sky,
        meta=spectrum.meta,
    )


def _outside_limits(air: np.ndarray, good: np.ndarray, settings: PreparationSettings) -> np.ndarray:
    """Pixels beyond the settings' limits or next to the ends of the data: normalised with the rest, not fitted."""
    if not good.any():
        return np.ones(air.size, bool)
    low, high = air[good][[0, -1]] + np.array([1, -1]) * settings.edge_margin
    low, high = max(low, settings.wave_min), min(high, settings.wave_max or np.inf)
    return (air < low) | (air > high)


def prepare(
    observations: Sequence[Observation],
    velocities: np.ndarray,
    model: LabelModel,
    operators: Operators,
    arms: Sequence[Arms] = (),
) -> Prepared:
    """Bring a batch of observations to rest, to the model's resolution and grid, and to its pseudo-continuum.

    Parameters
    ----------
    observations : sequence of Observation
    velocities : ndarray, shape (n,)
        Velocity of each star in km/s; rounded to `VELOCITY_STEP`.
    model : LabelModel
    operators : Operators
        Kept by the caller between calls.
    arms : sequence of Arms
        One for each observation whose red part has a velocity of its own; without any, none has.
    """
    velocity = nearest_step(velocities)
    shape = (len(observations), model.wave.size)
    flux, ivar = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    reason = np.zeros(shape, np.uint16)
    unfitted, coarser, at_sky = np.zeros(shape, bool), np.zeros(shape, bool), np.zeros(shape, bool)
    groups: dict[tuple[Grid, float, Arms], list[int]] = defaultdict(list)
    for index, observation in enumerate(observations):
        groups[observation.grid, float(velocity[index]), arms[index] if arms else ONE_ARM].append(index)
    for (_, speed, pair), members in groups.items():
        batch = [observations[i] for i in members]
        resampler = operators.get(batch[0], speed, pair)
        flux[members], ivar[members] = resampler.apply(
            np.array([o.flux for o in batch]), np.array([o.ivar for o in batch])
        )
        reasons = np.array([o.reason for o in batch])
        bits = [bit for bit in MASK_NAMES if (reasons & bit).any()]
        others = [np.array([o.not_fitted for o in batch]), np.array([o.at_sky for o in batch])]
        lost = resampler.lost(np.concatenate([*((reasons & bit) > 0 for bit in bits), *others]))
        *by_bit, ends, sky = lost.reshape(-1, len(batch), model.wave.size)
        reason[members] = _carried_reasons(bits, by_bit, ivar[members] == 0)
        unfitted[members], at_sky[members] = ends > 0.5, sky > REACHED
        coarser[members] = operators.coarser(batch[0])
    by_hand = inside(in_frame(model.wave, model.frame, "air"), operators.settings.masks_rest)
    ivar[:, by_hand] = 0
    reason[:, by_hand] |= USER
    weight = model.continuum.pixel_weights(ivar)
    normal, normal_ivar, continuum = model.continuum.normalise(model.wave, flux, ivar)
    reason[(normal_ivar == 0) & (reason == 0)] = NO_DATA
    reason[unfitted & (reason == 0)] |= EDGE
    reason |= _model_reasons(model, operators.settings)
    fitted = (reason == 0) & (normal_ivar > 0)
    return Prepared(
        flux=normal,
        ivar=np.where(fitted, normal_ivar, 0),
        weight=weight,
        continuum=continuum,
        reason=reason,
        velocity=velocity,
        n_coarser=(coarser & fitted).sum(axis=1),
        at_sky=at_sky,
    )


def _carried_reasons(bits: Sequence[int], lost: Sequence[np.ndarray], masked: np.ndarray) -> np.ndarray:
    """Give masked output pixels the bits of the input pixels that their kernels touch, each bit by a part `lost`."""
    carried = np.zeros(masked.shape, np.uint16)
    for bit, part in zip(bits, lost, strict=True):
        carried[(part > 0.02) & masked] |= bit
    carried[masked & (carried == 0)] = NO_DATA
    return carried


def _model_reasons(model: LabelModel, settings: PreparationSettings) -> np.ndarray:
    """Bits of pixels that are never fitted with this model, in its own rest frame."""
    air = in_frame(model.wave, model.frame, "air")
    reason = np.where(model.mask, 0, MODEL).astype(np.uint16)
    cores = model.masks_balmer_cores if settings.mask_balmer_cores == "model" else settings.mask_balmer_cores
    if cores:
        reason[inside(air, BALMER_CORES)] |= BALMER
    return reason
