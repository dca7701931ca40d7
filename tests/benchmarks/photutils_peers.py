"""The same layers by photutils: grouped PSF photometry with the PSF that the extraction fitted, and apertures."""

from __future__ import annotations

import time
import warnings

import numpy as np

from processing.cube import MuseCube

GROUP = 4.0
"""Stars closer than this are fitted together, spaxels."""
BOX = 11
RADIUS, ANNULUS = 4.0, (12.0, 18.0)
OVERSAMPLING = 4


def compare(path, result, mock, n_layer) -> None:
    """Print time per layer, bias and scatter of bright and of all extracted stars for each method."""
    rows = np.array([int(s.star_id[1:]) for s in result.spectra])
    modelled = np.flatnonzero(result.sources.modelled)
    x, y = result.sources.x[modelled], result.sources.y[modelled]
    mine = np.searchsorted(modelled, rows)
    ours = np.stack([s.flux for s in result.spectra])
    found = {"photutils PSF, grouped": [], "photutils aperture": [], "this program": []}
    seconds = dict.fromkeys(found, 0.0)
    layers = np.linspace(0, ours.shape[1] - 1, n_layer + 2).astype(int)[1:-1]
    with MuseCube.open(path) as cube:
        for i in layers:
            block = cube.block(int(i), int(i) + 1)
            data, ivar, wave = block.flux[0], block.ivar[0], float(cube.wave[i])
            px, py = result.psf.positions(x, y, wave)
            start = np.maximum(mock.flux[modelled, i], 1.0)
            for name, measure in (("photutils PSF, grouped", grouped_psf), ("photutils aperture", aperture)):
                begin = time.perf_counter()
                flux = measure(data, ivar, px, py, start, result.psf.at(wave))
                seconds[name] += time.perf_counter() - begin
                found[name].append(flux[mine] / mock.flux[rows, i] - 1.0)
            found["this program"].append(ours[:, i] / mock.flux[rows, i] - 1.0)
    single = np.array([not s.meta["multistar"] for s in result.spectra])
    print(f"  {n_layer} layers, {rows.size} stars extracted:")
    for name, errors in found.items():
        text = ""
        for limit, label in ((18.0, "brighter than 18"), (20.0, "brighter than 20")):
            error = np.array(errors)[:, single & (mock.mag[rows] < limit)]
            centre = np.nanmedian(error)
            text += f"; {label} {100 * centre:+.2f} +- {148.26 * np.nanmedian(np.abs(error - centre)):.2f} %"
        pace = f"{seconds[name] / n_layer:6.2f} s a layer" if seconds[name] else " see above    "
        print(f"    {name:24s} {pace}{text}")


def grouped_psf(data, ivar, x, y, start, psf):
    """Return fluxes of grouped PSF photometry at fixed positions, the layer's median sky subtracted."""
    from astropy.table import Table
    from photutils.psf import ImagePSF, PSFPhotometry, SourceGrouper

    offsets = np.arange(-15 * OVERSAMPLING, 15 * OVERSAMPLING + 1) / OVERSAMPLING
    model = ImagePSF(psf(*np.meshgrid(offsets, offsets)), oversampling=OVERSAMPLING)
    model.x_0.fixed = model.y_0.fixed = True
    good = ivar > 0
    photometry = PSFPhotometry(model, BOX, grouper=SourceGrouper(GROUP), aperture_radius=RADIUS)
    guess = Table({"x_init": x, "y_init": y, "flux_init": start})
    inside = (x > 0) & (y > 0) & (x < data.shape[1] - 1) & (y < data.shape[0] - 1)
    error = 1.0 / np.sqrt(np.where(good, ivar, 1.0))
    flux = np.full(x.size, np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = photometry(data - sky_of(data, good), mask=~good, error=error, init_params=guess[inside])
    flux[inside] = table["flux_fit"]
    return flux


def aperture(data, ivar, x, y, start, psf):
    """Return fluxes in apertures, with a local annulus and the fitted PSF's aperture correction."""
    from photutils.aperture import ApertureStats, CircularAnnulus, CircularAperture, aperture_photometry

    good = ivar > 0
    places = np.stack([x, y], axis=1)
    circles = CircularAperture(places, RADIUS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sky = ApertureStats(data, CircularAnnulus(places, *ANNULUS), mask=~good).median
        total = aperture_photometry(data, circles, mask=~good)["aperture_sum"] - sky * circles.area
    offsets = np.arange(-6.0, 6.01, 0.1)
    dx, dy = np.meshgrid(offsets, offsets)
    return np.asarray(total) / (psf(dx, dy)[np.hypot(dx, dy) <= RADIUS].sum() * 0.01)


def sky_of(data, good) -> float:
    """Return the clipped median of a layer."""
    from astropy.stats import sigma_clipped_stats

    return float(sigma_clipped_stats(data[good], sigma=2.0, maxiters=10)[1])
