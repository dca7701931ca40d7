"""The extraction stage: from a cube and a star list to one spectrum per star."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import numpy as np

from processing.checkpoint import Checkpoint
from processing.extraction.advice import residual_notes
from processing.extraction.aperture import ApertureField, sum_apertures
from processing.extraction.automatic import is_narrow, require_profile, settle
from processing.extraction.background import sky_patch
from processing.extraction.bins import BinImage, bin_images, merge_bins
from processing.extraction.covariance import neighbour_correlations
from processing.extraction.defects import Unspoilt, find_saturated
from processing.extraction.layer_model import Layers, StarField, Unresolved
from processing.extraction.passbands import BandImage, band_image, choose_passband
from processing.extraction.positions import N_WIDE, Places, find_places
from processing.extraction.psf import PsfModel
from processing.extraction.psf_fit import WIDEST, core_radius, fit_psf
from processing.extraction.register import DEFAULT_SCALE, Registration, register
from processing.extraction.second_pass import PREFIX, FirstCheckpoint, missed_stars, with_new_stars
from processing.extraction.solve import Solution, solve_cube
from processing.extraction.sources import FieldImage, SourceTable, field_image, require_stars, select_sources
from processing.extraction.trails import TOUCHES, find_trail
from processing.progress import CancelCheck, Progress, ignore, never, part, stop_if
from processing.settings import PsfSettings, Settings
from processing.spectrum import MetaValue, StarSpectrum

if TYPE_CHECKING:
    from processing.cube import CubeOverview, MuseCube
    from processing.reference import StarList

FEW = 200
"""Stars a field below which aperture photometry is as good as PSF fitting (Wang et al. 2022, section 4)."""


@dataclass(frozen=True)
class Extraction:
    """Everything that the extraction of a cube gives.

    Parameters
    ----------
    spectra : tuple of StarSpectrum
        One per star with status "extracted", in the list's order.
    sources : SourceTable
        What became of every star of the list.
    psf : PsfModel
    registration : Registration
    residual : ndarray, shape (ny, nx), float32
        White-light image minus the model of stars and sky; NaN where there are no data.
    notes : tuple of str
        Sentences for the user.
    """

    spectra: tuple[StarSpectrum, ...]
    sources: SourceTable
    psf: PsfModel
    registration: Registration
    residual: np.ndarray
    notes: tuple[str, ...]


def extract(
    cube: MuseCube,
    stars: StarList | None,
    settings: Settings,
    *,
    overview: CubeOverview | None = None,
    checkpoint: Checkpoint | None = None,
    progress: Progress = ignore,
    cancelled: CancelCheck = never,
) -> Extraction:
    """Extract the spectra of all stars of a list, or of all stars that are detected, from a cube.

    Parameters
    ----------
    cube : MuseCube
    stars : StarList or None
        None: sources are detected on the white-light image.
    settings : Settings
    overview : CubeOverview, optional
        Made here if not given.
    checkpoint : Checkpoint, optional
        Holds what an interrupted run has finished: registration, PSF and blocks of layers. The result is the same,
        bit for bit, wherever it was interrupted.

    Raises
    ------
    StellacubeError
        If no star lies in the field, the list does not match the image, or nothing can be extracted.
    """
    from processing.reference import detect_sources

    settings, said = settle(settings, is_narrow(cube))
    require_profile(settings.psf, is_narrow(cube))
    if overview is None:
        overview = cube.overview(progress=part(progress, 0.0, 0.1), cancelled=cancelled)
    detected = stars is None
    if stars is None:
        stars = detect_sources(
            cube, overview, settings.sources, progress=part(progress, 0.1, 0.12), cancelled=cancelled
        )
    passband = None if detected else choose_passband(settings.registration.passband, stars.mag_name)
    seen = band_image(cube.wave, overview, passband)
    registration = _registration(cube, stars, seen.image, settings, detected, checkpoint, cancelled)
    stop_if(cancelled)
    if not settings.extraction.second_pass or settings.extraction.method != "psf":
        found = _extract(cube, stars, registration, overview, seen, settings, checkpoint, progress, cancelled)
        return replace(found, notes=(*said, *found.notes))
    share, store = part(progress, 0.0, 0.5), None if checkpoint is None else FirstCheckpoint(checkpoint)
    found = _extract(cube, stars, registration, overview, seen, settings, store, share, cancelled, first=True)
    x, y = missed_stars(found, field_image(cube, overview.white).variance)
    if x.size:
        stars, registration = with_new_stars(cube, stars, registration, x, y)
    share = part(progress, 0.5, 1.0)
    found = _extract(cube, stars, registration, overview, seen, settings, checkpoint, share, cancelled)
    return replace(found, notes=(*said, *found.notes))


def _extract(
    cube: MuseCube, stars: StarList, registration: Registration, overview: CubeOverview, seen: BandImage,
    settings: Settings, checkpoint: Checkpoint | None, progress: Progress, cancelled: CancelCheck, first: bool = False,
) -> Extraction:  # fmt: skip
    """Select, fit the PSF, solve: all that follows the registration.

    In the first pass of two, what is not flat in the background are missing stars, which the sky must not take up.
    """
    image = field_image(cube, seen.image, (seen.wave_min, seen.wave_max))
    place = registration.x, registration.y
    saturation, layers = None, cast("Layers", cube)
    if settings.sources.saturated == "mask":
        saturation = find_saturated(overview, cube.wave, *place, stars.mag, registration.fwhm)
    if saturation is not None:
        image = replace(image, white=np.where(saturation.mask.any(0), np.nan, image.white))
        layers = Unspoilt(layers, saturation.mask, saturation.band_start)
    trail = None
    if settings.sources.trails == "mask":
        trail = find_trail(
            image, overview.bands, *place, stars.mag, registration.fwhm, settings.psf.beta,
            detected=stars.source == "detected", cancelled=cancelled,
        )  # fmt: skip
    if trail is not None:
        hidden = trail.mask(image.white.shape)
        image = replace(image, white=np.where(hidden, np.nan, image.white))
        layers = Unspoilt(layers, hidden[None], np.array([0, cube.wave.size]))
    sources, field_notes = select_sources(
        stars, *place, image, registration.fwhm, settings.sources, settings.psf, saturation
    )
    require_stars(sources, stars)
    new = np.char.startswith(sources.star_id, PREFIX) & sources.extracted & settings.extraction.second_pass
    sources = replace(sources, reason=np.where(new, "not in the list: found on the residual image", sources.reason))
    if trail is not None:
        sources, note = trail.flag(sources, image.white.shape, registration.fwhm)
        field_notes = (*field_notes, note)
    progress(0.15, f"{sources.extracted.sum()} of {len(stars)} stars will be extracted")

    modelled = np.flatnonzero(sources.modelled)
    x, y = sources.x[modelled], sources.y[modelled]
    left = np.flatnonzero(np.isin(sources.status, ("faint", "confused")) & (sources.flux_predicted > 0))
    unresolved = Unresolved(sources.x[left], sources.y[left], sources.flux_predicted[left]) if left.size else None
    workers = settings.workers or min(2, os.cpu_count() or 1)
    scale = cube.pixel_scale if np.isfinite(cube.pixel_scale) else DEFAULT_SCALE
    block = checkpoint.load("psf") if checkpoint is not None else None
    if block is None:
        single = sources.extracted[modelled] & ~sources.multistar[modelled]
        snr = np.where(single, sources.snr_predicted[modelled], np.nan)
        flux = sources.flux_predicted[modelled]
        fwhm = settings.psf.fwhm or registration.fwhm

        images = list(bin_images(layers, settings.psf.bins, part(progress, 0.15, 0.25), cancelled))
        wide = merge_bins(images, N_WIDE)

        def fit(bins: list[BinImage], places: Places, choices: PsfSettings, share: Progress) -> PsfModel:
            telling = np.where(places.refused, np.nan, snr)
            return fit_psf(
                layers, x + places.dx, y + places.dy, telling, fwhm, choices, flux=flux, solve=solve,
                unresolved=unresolved, images=bins, workers=workers, progress=share, cancelled=cancelled,
            )  # fmt: skip

        solve, profile, places = settings.solve, replace(settings.psf, residual=False), Places.of_list(x.size)
        if solve.sky == "slices":  # so fine that it would take up the PSF's wings
            solve = replace(solve, sky="patches")
        psf = fit(wide, places, profile, part(progress, 0.25, 0.28))
        band, wave = _band(cube, overview, image)
        side = solve.sky_patch if first else sky_patch(x, y, band, psf, wave, solve.sky_patch)
        bent = side != solve.sky_patch and solve.sky == "patches"
        if bent:
            solve = replace(solve, sky_patch=side)
            psf = fit(wide, places, profile, part(progress, 0.28, 0.3))
        error, radius = settings.sources.position_error, core_radius(settings.psf, fwhm, cube.shape[1:])
        if error != 0.0 and psf.n_stars > 0:
            progress(0.3, "Looking where the stars' light is")
            places = find_places(
                wide, psf, x, y, flux, sources.extracted[modelled], single, solve, radius,
                scatter=None if error == "auto" else error / scale, unresolved=unresolved, workers=workers,
                cancelled=cancelled,
            )  # fmt: skip
        # A galaxy must not pass for a part of the PSF.
        psf = fit(images, places, profile if bent else settings.psf, part(progress, 0.3, 0.4))
        block = psf.to_arrays() | places.to_arrays() | {"sky_patch": np.array(solve.sky_patch)}
        if checkpoint is not None:
            checkpoint.save("psf", block)
    psf, solve = PsfModel.from_arrays(block), replace(settings.solve, sky_patch=int(block["sky_patch"]))
    places = Places.from_arrays(block) if "dx" in block else Places.of_list(x.size)
    x, y = x + places.dx, y + places.dy
    sources, place_notes = places.flag(sources, modelled, scale)
    radius = core_radius(settings.psf, float(np.max(psf.fwhm(cube.wave))), cube.shape[1:])
    if settings.extraction.method == "aperture":
        few = ApertureField(x, y, psf, cube.shape[1:], settings.extraction)
        solution = sum_apertures(
            layers, few, workers=workers, checkpoint=checkpoint, progress=part(progress, 0.4, 1.0), cancelled=cancelled
        )
    else:
        field = StarField(x, y, psf, cube.shape[1:], radius, solve, unresolved)
        solution = solve_cube(
            layers, field, workers=workers, checkpoint=checkpoint, progress=part(progress, 0.4, 1.0),
            cancelled=cancelled,
        )  # fmt: skip
        if settings.extraction.covariance and checkpoint is not None:
            pairs, names = neighbour_correlations(layers, field, cancelled=cancelled), sources.star_id[modelled]
            block = {"first": names[pairs.first], "second": names[pairs.second], "correlation": pairs.value}
            checkpoint.save("covariance", block)
    if checkpoint is not None:  # stars without a spectrum whose light is in the cube, should they be taken out of it
        other = ~sources.extracted[modelled]
        checkpoint.save("contaminants", {"x": x[other], "y": y[other], "flux": solution.flux[other]})
    spectra = _spectra(cube, sources, modelled, psf, solution)
    notes = [seen.note] if seen.note else []
    if new.any():
        notes.append(f"{new.sum()} stars were found that the list lacks; their names begin with {PREFIX}.")
    notes += [*registration.notes, *field_notes, *place_notes, *_notes(sources, psf, spectra, settings)]
    return Extraction(spectra, sources, psf, registration, solution.residual, tuple(notes))


def _registration(
    cube: MuseCube, stars: StarList, white: np.ndarray, settings: Settings, detected: bool,
    checkpoint: Checkpoint | None, cancelled: CancelCheck,
) -> Registration:  # fmt: skip
    """Return the stored registration or make one; detected stars are where they were detected."""
    block = checkpoint.load("registration") if checkpoint is not None else None
    if block is not None:
        return Registration.from_arrays(block)
    choices = replace(settings.registration, fit="none") if detected else settings.registration
    registration = register(cube, stars, white, choices, cancelled=cancelled)
    if checkpoint is not None:
        checkpoint.save("registration", registration.to_arrays())
    return registration


def _band(cube: MuseCube, overview: CubeOverview, image: FieldImage) -> tuple[FieldImage, float]:
    """Return a narrow band near the middle of the cube that has data, and its wavelength in Angstrom."""
    covered = np.isfinite(overview.bands).sum((1, 2))
    full = np.flatnonzero(covered >= 0.9 * covered.max())
    k = int(full[np.argmin(np.abs(full - len(covered) // 2))])
    wave = float(cube.wave[overview.band_start[k] : overview.band_start[k + 1]].mean())
    return FieldImage(np.where(image.valid, overview.bands[k], np.nan), image.variance), wave


def _spectra(
    cube: MuseCube, sources: SourceTable, modelled: np.ndarray, psf: PsfModel, solution: Solution
) -> tuple[StarSpectrum, ...]:
    """Make one StarSpectrum per extracted star, with its quality."""
    fwhm = float(psf.fwhm(cube.wave[cube.wave.size // 2]))
    white_flux = np.nanmean(np.where(np.isfinite(solution.flux), solution.flux, np.nan), axis=1)
    misfit = _misfit(solution.residual, sources.x[modelled], sources.y[modelled], white_flux, fwhm)
    spectra = []
    for k, i in enumerate(modelled):
        if not sources.extracted[i] or not (solution.ivar[k] > 0).any():
            continue
        spectrum = StarSpectrum(
            star_id=str(sources.star_id[i]),
            wave=cube.wave,
            flux=solution.flux[k],
            ivar=solution.ivar[k],
            frame=cube.frame,
            flux_unit=cube.flux_unit,
            lsf_fwhm=cube.lsf_fwhm,
            ra=float(sources.ra[i]),
            dec=float(sources.dec[i]),
            x=float(sources.x[i]),
            y=float(sources.y[i]),
            mag=float(sources.mag[i]),
            barycentric=cube.barycentric,
        )
        meta: dict[str, MetaValue] = {
            "cube": cube.path.name,
            "date_obs": cube.date_obs,
            "status": "extracted",
            "multistar": bool(sources.multistar[i]),
            "in_field": True,
            "edge_dist": float(sources.edge_dist[i]),
            "trail": bool(sources.reason[i] == TOUCHES),
            "psf_fwhm": fwhm,
            "psf_chi": float(solution.chi[k]),
            "psf_residual": float(misfit[k]),
            "n_eff": float(solution.n_eff[k]),
            "contamination": float(solution.contamination[k]),
            "snr": spectrum.snr,
            "snr_der": spectrum.snr_der,
            "snr_predicted": float(sources.snr_predicted[i]),
        }
        spectra.append(replace(spectrum, meta=meta))
    return tuple(spectra)


def _misfit(residual: np.ndarray, x: np.ndarray, y: np.ndarray, flux: np.ndarray, fwhm: float) -> np.ndarray:
    """Return the sum of absolute white-light residuals within one FWHM of each star over half its flux.

    A star has about 0.01; what is no point source leaves much of its light over.
    """
    yy, xx = np.indices(residual.shape)
    out = np.empty(x.size)
    for i in range(x.size):
        near = (xx - x[i]) ** 2 + (yy - y[i]) ** 2 < fwhm**2
        out[i] = np.nansum(np.abs(residual[near])) / max(0.5 * abs(flux[i]), 1e-30)
    return out


def _notes(sources: SourceTable, psf: PsfModel, spectra: tuple[StarSpectrum, ...], settings: Settings) -> list[str]:
    """Return sentences on what was left out and on what a user should know about the PSF."""
    kinds, counts = np.unique(sources.status, return_counts=True)
    notes = [", ".join(f"{c} {k}" for k, c in zip(kinds, counts, strict=True)) + f" of {sources.status.size} stars."]
    if settings.extraction.method == "aperture" and len(spectra) >= FEW:
        notes.append(
            f"Aperture photometry of {len(spectra)} stars: from about {FEW} a field on, PSF fitting is better "
            '(extraction.method = "psf").'
        )
    elif settings.extraction.method == "psf" and len(spectra) < FEW:
        notes.append(
            f"With fewer than {FEW} stars a field, aperture photometry gives similar results "
            '(extraction.method = "aperture").'
        )
    notes += residual_notes(spectra)
    lost = sources.extracted.sum() - len(spectra)
    if lost:
        notes.append(f"{lost} stars have no valid pixels.")
    if psf.n_stars == 0:
        notes.append("No star is bright enough to measure the PSF; a round Moffat of the image's width is used.")
    elif psf.profile == "moffat" and not psf.bin_errors[:, 1].any():
        notes.append(
            f"The background changes so fast that the PSF's wings cannot be told from it: beta is held at "
            f"{psf.bin_values[0, 1]:.1f} (psf.beta), and fluxes are sure to a few per cent only."
        )
    added = 0.0 if psf.residual is None else psf.residual.share(psf.at(0.5 * (psf.wave_min + psf.wave_max)))
    if added > 0.001:
        notes.append(f"The stars are no perfect {psf.profile}: up to {100 * added:.1f} % of the peak is added to it.")
    width = float(np.max(psf.fwhm(spectra[0].wave))) if spectra else 0.0
    if width > 0.8 * WIDEST:
        notes.append(f"The PSF is {width:.1f} spaxels wide: the brightest sources may be galaxies and no stars.")
    return notes
