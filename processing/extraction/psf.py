"""The point spread function of a cube: a profile whose parameters are polynomials in wavelength, and its residual."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

import numpy as np

from processing.checkpoint import Block
from processing.extraction.psf_profiles import Profile, at_wave, evaluate, first_guess, half_width, shifts
from processing.extraction.psf_residual import ResidualImage, ResidualPsf


@dataclass(frozen=True)
class PsfShape:
    """The PSF at one wavelength: the light of a star of unit flux as a function of the offset from it.

    Parameters
    ----------
    profile : Profile
    parameters : ndarray, shape (n_parameter,)
    residual : ResidualImage, optional
        What the stars have beside the profile.
    """

    profile: Profile
    parameters: np.ndarray
    residual: ResidualImage | None = None

    def __call__(self, dx: np.ndarray, dy: np.ndarray) -> np.ndarray:
        """Return the share of the light in pixels at offsets (dx, dy), spaxels."""
        value = evaluate(self.profile, self.parameters, dx, dy)
        return value if self.residual is None else self.residual.added_to(value, dx, dy)


@dataclass(frozen=True)
class PsfModel:
    """The PSF of one cube at every wavelength.

    Parameters
    ----------
    profile : {"moffat", "gaussian", "double_moffat", "moffat_gaussian", "maoppy"}
        A Gaussian ignores ``beta``; one component alone ignores ``ratio`` and ``fraction``.
    wave_min, wave_max : float
        Wavelengths in Angstrom that the polynomials' variable maps to -1 and 1.
    x0, y0 : float
        Pivot of the affine position terms, spaxels.
    coefficients : ndarray, shape (n_parameter, degree + 1)
        Chebyshev coefficients of each of the profile's `parameter_names`. ``fwhm`` is sqrt(major x minor axis) in
        spaxels; (e1, e2) = e (cos 2 theta, sin 2 theta) with e = 1 - b/a and theta from +x to +y.
    bin_wave : ndarray, shape (n_bin,)
        Wavelengths in Angstrom of the bins that were fitted.
    bin_values, bin_errors : ndarray, shape (n_bin, n_parameter)
        Their parameters and 1-sigma errors; an error of 0 means held fixed.
    bin_used : ndarray of bool, shape (n_bin,)
        False where the bin was clipped from the polynomials.
    bin_chi : ndarray, shape (n_bin,)
        Root of the reduced chi2 of each bin's image.
    n_stars : int
        Stars whose surroundings the fit used.
    residual : ResidualPsf, optional
        What the stars have beside the profile.
    """

    profile: Profile
    wave_min: float
    wave_max: float
    x0: float
    y0: float
    coefficients: np.ndarray
    bin_wave: np.ndarray
    bin_values: np.ndarray
    bin_errors: np.ndarray
    bin_used: np.ndarray
    bin_chi: np.ndarray
    n_stars: int
    residual: ResidualPsf | None = None

    def parameters(self, wave: float | np.ndarray) -> np.ndarray:
        """Return the parameters at `wave` (Angstrom): shape ``wave.shape + (n_parameter,)``."""
        basis = np.polynomial.chebyshev.chebvander(self.variable(wave), self.coefficients.shape[1] - 1)
        values = (basis @ self.coefficients.T).reshape(*np.shape(wave), len(self.coefficients))
        return at_wave(self.profile, values, wave)

    def variable(self, wave: float | np.ndarray) -> np.ndarray:
        """Return the polynomials' variable at `wave` (Angstrom), from -1 to 1."""
        t = (2.0 * np.asarray(wave) - self.wave_min - self.wave_max) / max(self.wave_max - self.wave_min, 1e-9)
        return np.clip(t, -1.0, 1.0)

    def fwhm(self, wave: float | np.ndarray) -> np.ndarray:
        """Return the full width at half maximum at `wave` in spaxels."""
        return half_width(self.profile, self.parameters(wave))

    def at(self, wave: float) -> PsfShape:
        """Return the PSF at one wavelength in Angstrom."""
        residual = None if self.residual is None else self.residual.at(float(self.variable(wave)))
        return PsfShape(self.profile, self.parameters(wave), residual)

    def positions(self, x: np.ndarray, y: np.ndarray, wave: float) -> tuple[np.ndarray, np.ndarray]:
        """Return where stars registered at (x, y) appear at `wave`, 0-based spaxels."""
        shift = shifts(self.parameters(wave), x - self.x0, y - self.y0)
        return x + shift[0], y + shift[1]

    def stamp(self, x: float, y: float, wave: float, shape: tuple[int, int]) -> np.ndarray:
        """Return the unit-flux image (ny, nx) of a star registered at (x, y)."""
        cx, cy = self.positions(np.asarray(x), np.asarray(y), wave)
        yy, xx = np.indices(shape)
        return self.at(wave)(xx - cx, yy - cy)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the model as named arrays, as a checkpoint or a file keeps it."""
        fixed = np.array([self.wave_min, self.wave_max, self.x0, self.y0, self.n_stars])
        arrays = {"profile": np.array(self.profile), "fixed": fixed} | {name: getattr(self, name) for name in _ARRAYS}
        return arrays if self.residual is None else arrays | self.residual.to_arrays()

    @staticmethod
    def from_arrays(block: Block) -> PsfModel:
        """Rebuild a model from `to_arrays`."""
        profile: Profile = next(p for p in get_args(Profile) if p == str(block["profile"]))
        wave_min, wave_max, x0, y0, n_stars = block["fixed"].tolist()
        arrays = {name: block[name] for name in _ARRAYS}
        residual = ResidualPsf.from_arrays(block)
        return PsfModel(profile, wave_min, wave_max, x0, y0, n_stars=int(n_stars), residual=residual, **arrays)


_ARRAYS = ("coefficients", "bin_wave", "bin_values", "bin_errors", "bin_used", "bin_chi")


def constant_psf(profile: Profile, fwhm: float, beta: float, wave: np.ndarray, x0: float, y0: float) -> PsfModel:
    """Return a round PSF that does not change with wavelength: the fallback where no star can be measured."""
    coefficients = first_guess(profile, fwhm, beta)[:, None]
    empty = np.zeros((0, len(coefficients)))
    none = np.zeros(0)
    wave_min, wave_max = float(wave[0]), float(wave[-1])
    return PsfModel(
        profile, wave_min, wave_max, x0, y0, coefficients, none, empty, empty, none.astype(bool), none, n_stars=0
    )
