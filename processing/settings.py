"""Every choice the program makes, as one tree of frozen dataclasses with units; read from and written to TOML."""

from __future__ import annotations

import dataclasses
import difflib
import typing
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from processing.errors import StellacubeError
from processing.toml_files import load_toml, save_toml

T = TypeVar("T")


@dataclass(frozen=True)
class RegistrationSettings:
    """How the star list is laid over the cube."""

    max_offset: float = 10.0
    """Largest offset between list and cube that is searched, arcsec."""
    max_rotation: float = 2.0
    """Largest rotation that is searched, degrees."""
    fit: Literal["none", "offset", "rotation", "affine"] = "affine"
    """What may be corrected; an affine fit falls back to less where stars are few."""
    passband: str = ""
    """Band of the list's magnitudes: a name as "Johnson-Cousins V", "SDSS r" or "F814W", "white", or the path of a
    table with wavelength and transmission; empty: told from the column's name."""


@dataclass(frozen=True)
class SourceSettings:
    """Which stars of the list are extracted (defaults as in PampelMUSE)."""

    snr_min: float = 3.0
    """Lowest predicted signal-to-noise per pixel of a star that gets a spectrum."""
    confusion_density: float = 0.4
    """Stars at least as bright per resolution element above which a star counts as unresolved."""
    merge_radius: float = 0.3
    """Stars closer than this many FWHM are extracted as one."""
    edge_margin: float = 4.0
    """Stars up to this many FWHM outside the field are included as contaminants."""
    saturated: Literal["mask", "ignore"] = "mask"
    """Stars with flat or hollow cores: model them by their wings and write no spectrum, or take them as they are."""
    trails: Literal["mask", "ignore"] = "mask"
    """Straight bright lines across the field, as satellites draw them: leave their spaxels out and say so, or take them
    for sky and stars."""
    position_error: Literal["auto"] | float = "auto"
    """Errors of the list's positions, star by star, arcsec along each axis: stars are moved to where their light is, as
    far as it tells more than the list. "auto": measured on lonely stars; 0: no star is moved by itself."""
    detection_sigma: float = 5.0
    """Detection threshold on the white-light image when no list is given, in sigma of the background."""


@dataclass(frozen=True)
class ExtractionSettings:
    """How the stars' light is separated."""

    method: Literal["psf", "aperture"] = "psf"
    """PSF fitting of all stars at once, or aperture photometry: as good below some 200 stars a field (Wang et al. 2022)
    and no good in crowds."""
    aperture_radius: float = 1.0
    """Of the apertures, FWHM."""
    annulus: tuple[float, float] = (2.5, 3.5)
    """Inner and outer radius of the annulus around each star where the sky is measured, FWHM."""
    second_pass: bool = False
    """Search what is left of the white-light image for stars that the list lacks, and extract again with them."""
    covariance: bool = False
    """Write how the errors of neighbouring stars' fluxes hang together, a table of pairs."""


@dataclass(frozen=True)
class PsfSettings:
    """The point spread function and how it is fitted."""

    profile: Literal["auto", "moffat", "gaussian", "double_moffat", "moffat_gaussian", "maoppy"] = "auto"
    """"auto": a Moffat in the wide field, two in the narrow field, where half of the light is in a halo; "maoppy": the
    adaptive optics' own PSF (Fetick et al. 2019), for the narrow field, where the package MAOPPY is installed."""
    residual: bool = True
    """Add an empirical image of what bright stars have beside the profile; it vanishes where the profile is right."""
    fwhm: float = 0.0
    """First guess in spaxels; 0: measured on the white-light image."""
    beta: float = 2.5
    """First guess of the Moffat exponent."""
    bins: int = 40
    """Number of wavelength bins in which the PSF is fitted."""
    degree: int = 3
    """Degree of the polynomials in wavelength for FWHM, beta, ellipticity and position terms."""
    radius: float = 0.0
    """Truncation radius of the PSF core in spaxels at least; larger where the FWHM asks for it. 0: 15, in the narrow
    field 35."""


@dataclass(frozen=True)
class SolveSettings:
    """The simultaneous least squares of all stars and the sky."""

    layers_per_batch: int = 32
    """Neighbouring layers that share one normal matrix."""
    refinements: int = 1
    """Passes after the first one, each with the far wings of every layer's own fluxes."""
    sky: Literal["auto", "none", "constant", "patches", "slices"] = "auto"
    """"auto": "patches" in the wide field, "constant" in the narrow one; "patches": a smooth surface; "slices": one
    level for every few slices of the instrument, where they differ and the cube's rows are still along them (no
    rotation, one exposure)."""
    sky_patch: int = 50
    """Distance of the sky's knots in spaxels; made smaller where the background is not flat."""
    sky_slices: int = 12
    """Rows of a quarter of the field that share a level: one of the 24 spectrographs has 12."""
    far_wings: bool = True
    """Subtract the wings beyond `PsfSettings.radius` by Fourier transform."""

    @property
    def sky_side(self) -> int:
        """Size of the sky's components, spaxels."""
        return self.sky_slices if self.sky == "slices" else self.sky_patch


@dataclass(frozen=True)
class PampelMuseSettings:
    """PampelMUSE (Kamann et al. 2013) as the engine of the extraction, where it is installed."""

    use: bool = False
    """Extract with PampelMUSE instead of Stellacube's own engine. PSF, sky, selection and polynomials are set up as the
    other settings say."""
    executable: str = "PampelMuse"
    """Name of the program on the PATH, or its path."""
    passband: str = ""
    """PampelMUSE's name of the list's passband, as COUSINS_I or f814w; empty: the list's own column name."""


@dataclass(frozen=True)
class ExposureSettings:
    """Several exposures of a field, and the flux scale of what was extracted from them."""

    combine: bool = False
    """Combine the spectra of the same star before the fit."""
    radius: float = 0.5
    """Spectra of different cubes this close are the same star's, arcsec."""
    clip: float = 5.0
    """Pixels in which one exposure differs from the others by more than this many sigma are left out of it."""
    scale_to_list: bool = False
    """Scale every extracted spectrum to its star's magnitude in the list; the list as a whole has the cube's scale."""


@dataclass(frozen=True)
class PreparationSettings:
    """From the observed spectrum to the model's grid, resolution and pseudo-continuum."""

    lsf: str = "auto"
    """The input's line spread function when it carries none. "auto": that of the spectrum's instrument;
    "muse-udf10", "muse-mosaic", "muse-pipeline", "lamost", a constant FWHM in Angstrom as "3.2", a constant
    resolving power as "R=1800", or the path of a table with wavelength and FWHM in Angstrom."""
    degrade: Literal["coarser", "published"] = "coarser"
    """Where the input is coarser than the model: bring the model to the input ("coarser"), or leave the pixels
    as they are and count them ("published", as in the paper)."""
    telluric: Literal["wide", "narrow", "none"] = "wide"
    mask_ao: bool | Literal["auto"] = "auto"
    """Mask 5803-5966 A; "auto": when the spectrum has a gap there."""
    mask_dichroic: bool | Literal["model"] = "model"
    """Mask 5720-6060 A; "model": when the model was trained with the gap."""
    mask_balmer_cores: bool | Literal["model"] = "model"
    """Mask the cores of H-alpha and H-beta by +-5 A; "model": as the model file says."""
    masks: tuple[tuple[float, float], ...] = ()
    """Further regions to mask, Angstrom in air, observed frame."""
    masks_rest: tuple[tuple[float, float], ...] = ()
    """The same in the star's rest frame."""
    wave_min: float = 0.0
    wave_max: float = 0.0
    """Limits of the fit in Angstrom in air; 0: the model's own."""
    clean_sky: bool = True
    """Replace sky-line residuals by the mean of clean neighbours and raise their errors."""
    edge_margin: float = 10.0
    """Pixels this close to the ends of the input are not fitted, Angstrom."""


@dataclass(frozen=True)
class FitSettings:
    """The label fit."""

    model: str = ""
    """Model file, or the name of a shipped model; empty: the shipped default."""
    max_velocity: float = 600.0
    """Velocities searched by cross-correlation, +- km/s."""
    abundance_prior: float = 0.3
    """Width of the Gaussian prior on every [X/Fe] in dex; 0: none."""
    extrapolation: float = 0.1
    """How far beyond the training range a label may go, as a fraction of the range."""
    held: tuple[tuple[str, float], ...] = ()
    """Labels that are not fitted but keep a value, as [["teff", 4800.0]]."""
    priors: tuple[tuple[str, float, float], ...] = ()
    """Gaussian priors on labels: name, mean and standard deviation, as [["teff", 5200.0, 100.0]]. They hold for stars
    for which the star list has none of their own: columns teff_phot, teff_phot_err, logg_phot, logg_phot_err."""
    velocity_per_arm: bool | Literal["lamost"] | float = "lamost"
    """Fit a velocity and an error scale of its own to the part of a spectrum redward of 5900 A, or of the wavelength
    given (Angstrom in air), and leave out 50 A on either side; rv is then that of the blue part. "lamost": in spectra
    of LAMOST alone, whose arms differ by some 10 km/s."""
    max_iterations: int = 40
    batch: int = 256
    """Spectra fitted side by side."""


@dataclass(frozen=True)
class EvidenceSettings:
    """When a label counts as read from its own lines, and as determined by its spectrum."""

    min_gradcorr: float = 0.5
    """Correlation of the network's gradient with the physical one above which X_flag is 1."""
    max_teff: float = 200.0
    max_logg: float = 0.3
    max_vmic: float = 0.5
    max_abundance: float = 0.2
    """Cramer-Rao bounds (K, dex, km/s, dex for [Fe/H] and [X/Fe]) up to which X_info is 1."""

    def limits(self, labels: Sequence[str]) -> list[float]:
        """Return the errors up to which labels count as determined."""
        special = {"teff": self.max_teff, "logg": self.max_logg, "vmic": self.max_vmic}
        return [special.get(name, self.max_abundance) for name in labels]


@dataclass(frozen=True)
class CatalogueSettings:
    """What is written."""

    formats: tuple[str, ...] = ("csv", "fits")
    """Any of csv, ecsv, fits, votable."""
    write_spectra: bool = True
    spectra_layout: Literal["stellacube", "pampelmuse"] = "stellacube"
    """Files of single stars: with all that is known, or as programs that read PampelMUSE's files expect them."""
    chi2_good: float = 30.0
    """Reduced chi2 on the pipeline's own errors above which a fit is called poor."""
    corr_flux_good: float = 0.8
    """Correlation of flux and best fit, over what noise allows, below which a fit is called poor."""
    cuts: tuple[str, ...] = ()
    """Conditions that the column `selected` stands for, as "snr_muse > 80"; empty: no such column."""


@dataclass(frozen=True)
class Settings:
    """All settings of a run; stored with every result."""

    registration: RegistrationSettings = field(default_factory=RegistrationSettings)
    sources: SourceSettings = field(default_factory=SourceSettings)
    extraction: ExtractionSettings = field(default_factory=ExtractionSettings)
    psf: PsfSettings = field(default_factory=PsfSettings)
    solve: SolveSettings = field(default_factory=SolveSettings)
    pampelmuse: PampelMuseSettings = field(default_factory=PampelMuseSettings)
    exposures: ExposureSettings = field(default_factory=ExposureSettings)
    preparation: PreparationSettings = field(default_factory=PreparationSettings)
    fit: FitSettings = field(default_factory=FitSettings)
    evidence: EvidenceSettings = field(default_factory=EvidenceSettings)
    catalogue: CatalogueSettings = field(default_factory=CatalogueSettings)
    seed: int = 1
    """Seed of every random number."""
    workers: int = 0
    """Processes or threads working side by side; 0: one per core, two at most by default."""


def to_dict(settings: Any) -> dict[str, Any]:
    """Turn a settings tree into plain dictionaries and lists."""
    return dataclasses.asdict(settings)


def from_dict(values: dict[str, Any], kind: type[T] = Settings, where: str = "") -> T:  # type: ignore[assignment]
    """Build settings from plain dictionaries; what is missing keeps its default.

    Raises
    ------
    StellacubeError
        If a name is unknown or a value has the wrong type; the message names it.
    """
    hints = typing.get_type_hints(kind)
    known: dict[str, Any] = {}
    for name, value in values.items():
        label = f"{where}{name}"
        if name not in hints:
            close = difflib.get_close_matches(name, hints, n=1)
            hint = f"Did you mean {where}{close[0]}?" if close else f"Known names: {', '.join(sorted(hints))}."
            raise StellacubeError(f"The settings have no entry called {label}.", hint)
        if dataclasses.is_dataclass(hints[name]):
            if not isinstance(value, dict):
                raise StellacubeError(f"{label} must be a section with entries of its own, not {value!r}.")
            known[name] = from_dict(value, hints[name], f"{label}.")  # type: ignore[arg-type]
        else:
            known[name] = _convert(value, hints[name], label)
    return kind(**known)


def _convert(value: Any, hint: Any, label: str) -> Any:
    """Check one value against its type; integers pass for floats and lists for tuples."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        if value in arguments and type(value) in {type(a) for a in arguments}:
            return value
        raise StellacubeError(f"{label} is {value!r}, but must be one of {', '.join(map(repr, arguments))}.")
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise StellacubeError(f"{label} must be a list, not {value!r}.")
        kinds = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else list(arguments)
        if len(kinds) != len(value):
            raise StellacubeError(f"{label} must have {len(kinds)} entries, not {len(value)}.")
        return tuple(_convert(v, k, label) for v, k in zip(value, kinds, strict=True))
    if arguments:  # a union: the first alternative that takes the value wins
        for alternative in arguments:
            try:
                return _convert(value, alternative, label)
            except StellacubeError:
                continue
        raise StellacubeError(f"{label} cannot be {value!r}.")
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if type(value) is hint:
        return value
    raise StellacubeError(f"{label} must be a {hint.__name__}, not {value!r}.")


def read_settings(path: str | Path) -> Settings:
    """Read settings from a TOML file.

    Raises
    ------
    StellacubeError
        If the file cannot be read, is no TOML, or holds an unknown name or a wrong value.
    """
    return from_dict(load_toml(path, "settings file"))


def write_settings(settings: Settings, path: str | Path) -> None:
    """Write settings to a TOML file that `read_settings` reads back unchanged."""
    save_toml(to_dict(settings), path, "settings file")
