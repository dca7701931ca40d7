"""Small synthetic star fields with known truth, written with formulas of their own (not the engine's)."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np


def moffat(dx, dy, fwhm, beta, e=0.0, theta=0.0):
    """Return an elliptical Moffat of unit flux; fwhm is the geometric mean of the axes, e = 1 - b/a."""
    u, v = dx * np.cos(theta) + dy * np.sin(theta), dy * np.cos(theta) - dx * np.sin(theta)
    q = 1.0 - e
    r2 = q * u**2 + v**2 / q
    scale = (fwhm / 2.0) ** 2 / (2 ** (1 / beta) - 1)
    return (beta - 1) / (np.pi * scale) * (1 + r2 / scale) ** -beta


@dataclass
class Field:
    """A synthetic cube with what it was made from; offers the part of MuseCube's interface the solver reads."""

    wave: np.ndarray
    data: np.ndarray  # (n_wave, ny, nx), 0 where masked
    ivar: np.ndarray
    x: np.ndarray
    y: np.ndarray
    mag: np.ndarray
    flux: np.ndarray  # (n_star, n_wave)
    truth: dict = field(default_factory=dict)

    def block(self, start, stop):
        return Block(self.data[start:stop], self.ivar[start:stop])

    @property
    def shape(self):
        return self.data.shape


@dataclass
class Block:
    flux: np.ndarray
    ivar: np.ndarray


def make_field(
    seed=1,
    n_star=40,
    shape=(60, 60),
    wave=None,
    fwhm=(4.2, 3.7),
    beta=(2.4, 2.7),
    e=0.06,
    theta=0.5,
    drift=(0.5, -0.3),
    mags=(15.0, 21.0),
    sky=100.0,
    border=2,
    masked=1e-3,
    positions=None,
    magnitudes=None,
    noise=True,
    reach=40,
    integrate=True,
):
    """Make a field: pixel-integrated Moffat linear in wavelength, sky with lines, photon noise, masked border."""
    rng = np.random.default_rng(seed)
    ny, nx = shape
    wave = np.arange(4750.0, 9350.1, 12.5) if wave is None else wave
    n_wave = wave.size
    if positions is None:
        x, y = rng.uniform(border, nx - border, n_star), rng.uniform(border, ny - border, n_star)
        mag = mags[0] + (mags[1] - mags[0]) * rng.random(n_star) ** 0.5
    else:
        x, y = (np.asarray(p, float) for p in positions)
        mag = np.full(x.size, mags[0]) if magnitudes is None else np.asarray(magnitudes, float)
    n_star = x.size
    t = (wave - wave[0]) / max(wave[-1] - wave[0], 1.0)
    colour = rng.uniform(-0.5, 0.5, n_star)
    lines = 1.0 - 0.5 * np.exp(-0.5 * ((wave - 6563.0) / 15.0) ** 2)
    flux = 3e4 * 10 ** (-0.4 * (mag - 16.0))[:, None] * (1 + colour[:, None] * (t - 0.5)) * lines
    sky_level = sky * (1 + 5 * np.exp(-0.5 * ((wave - 5577.0) / 10.0) ** 2))

    stride, centre_x, centre_y = 2 * reach + 1, np.rint(x).astype(int), np.rint(y).astype(int)
    oy, ox = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    px, py = centre_x[:, None, None] + ox, centre_y[:, None, None] + oy
    keep = (px >= 0) & (px < nx) & (py >= 0) & (py < ny)
    star = np.broadcast_to(np.arange(n_star)[:, None, None], (n_star, stride, stride))[keep]
    pixel = (py * nx + px)[keep]
    nodes, weights = np.polynomial.legendre.leggauss(3) if integrate else (np.zeros(1), np.full(1, 2.0))

    def psf(at):
        dx, dy = (px - x[:, None, None] - drift[0] * at)[keep], (py - y[:, None, None] - drift[1] * at)[keep]
        pars = fwhm[0] + (fwhm[1] - fwhm[0]) * at, beta[0] + (beta[1] - beta[0]) * at, e, theta
        value = 0.0
        for a, u in zip(nodes, weights, strict=True):
            for b, v in zip(nodes, weights, strict=True):
                value = value + 0.25 * u * v * moffat(dx + 0.5 * a, dy + 0.5 * b, *pars)
        return value

    image = np.empty((n_wave, ny * nx), np.float32)
    knots = [*range(0, n_wave, 16), n_wave]
    for a, b in pairwise(knots):
        t0, t1 = t[a], t[min(b, n_wave - 1)]
        first, last = psf(t0), psf(t1)
        for i in range(a, b):
            s = (t[i] - t0) / (t1 - t0) if t1 > t0 else 0.0
            value = ((1 - s) * first + s * last) * flux[star, i]
            image[i] = np.bincount(pixel, value, minlength=ny * nx) + sky_level[i]
    variance = image + 25.0
    data = image + np.sqrt(variance) * rng.standard_normal(image.shape, np.float32) if noise else image
    good = rng.random(image.shape, np.float32) >= masked
    edge = np.ones(shape, bool)
    edge[border : ny - border, border : nx - border] = False
    good[:, edge.ravel()] = False
    data, ivar = np.where(good, data, 0).astype(np.float32), np.where(good, 1 / variance, 0).astype(np.float32)
    truth = {"fwhm": fwhm, "beta": beta, "e1": e * np.cos(2 * theta), "e2": e * np.sin(2 * theta), "drift": drift}
    truth |= {"t": t, "sky": sky_level}
    return Field(wave, data.reshape(n_wave, ny, nx), ivar.reshape(n_wave, ny, nx), x, y, mag, flux, truth)


RA, DEC = 201.7, -47.48
SCALE = 0.2 / 3600.0


def sky_positions(x, y, shape, shift=(0.0, 0.0), rotation=0.0):
    """Return ra and dec in degrees of spaxels, for the header that `write_cube` writes (tangent plane)."""
    angle = np.radians(rotation)
    u, v = np.asarray(x) - (shape[1] - 1) / 2, np.asarray(y) - (shape[0] - 1) / 2
    u, v = u * np.cos(angle) - v * np.sin(angle) + shift[0], u * np.sin(angle) + v * np.cos(angle) + shift[1]
    xi, eta = np.radians(-u * SCALE), np.radians(v * SCALE)
    dec0 = np.radians(DEC)
    down = np.cos(dec0) - eta * np.sin(dec0)
    ra = RA + np.degrees(np.arctan2(xi, down))
    return ra, np.degrees(np.arctan2(np.sin(dec0) + eta * np.cos(dec0), np.hypot(xi, down)))


def cube_header(wave, shape):
    """Return the header of a MUSE-like extension (celestial WCS, air wavelengths)."""
    from astropy.io import fits

    ny, nx = shape
    header = fits.Header()
    header["CTYPE1"], header["CTYPE2"], header["CTYPE3"] = "RA---TAN", "DEC--TAN", "AWAV"
    header["CUNIT1"], header["CUNIT2"], header["CUNIT3"] = "deg", "deg", "Angstrom"
    header["CRPIX1"], header["CRPIX2"], header["CRPIX3"] = (nx + 1) / 2, (ny + 1) / 2, 1.0
    header["CRVAL1"], header["CRVAL2"], header["CRVAL3"] = RA, DEC, wave[0]
    header["CD1_1"], header["CD2_2"], header["CD3_3"] = -SCALE, SCALE, wave[1] - wave[0]
    header["BUNIT"] = "10**(-20)*erg/s/cm**2/Angstrom"
    return header


def primary_hdu():
    """Return the primary HDU of a MUSE-like cube."""
    from astropy.io import fits

    primary = fits.PrimaryHDU()
    primary.header["INSTRUME"] = "MUSE"
    primary.header["DATE-OBS"] = "2019-06-01T02:00:00"
    primary.header["MJD-OBS"] = 58635.0833
    return primary


def write_cube(made, path):
    """Write a field as a MUSE-like cube with DATA and STAT."""
    from astropy.io import fits

    header = cube_header(made.wave, made.shape[1:])
    good = made.ivar > 0
    data = np.where(good, made.data, np.nan).astype(np.float32)
    variance = np.where(good, 1.0 / np.where(good, made.ivar, 1.0), np.nan).astype(np.float32)
    hdus = [primary_hdu(), fits.ImageHDU(data, header, "DATA"), fits.ImageHDU(variance, header, "STAT")]
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return path


def write_header(path, wave, size):
    """Write the headers of a cube of zeros; return the offsets of DATA and STAT in bytes."""
    offsets = []
    with open(path, "wb") as file:
        file.write(primary_hdu().header.tostring().encode())
        for name in ("DATA", "STAT"):
            cards = cube_header(wave, (size, size))
            axes = [("XTENSION", "IMAGE"), ("BITPIX", -32), ("NAXIS", 3), ("NAXIS1", size), ("NAXIS2", size)]
            axes += [("NAXIS3", wave.size), ("PCOUNT", 0), ("GCOUNT", 1), ("EXTNAME", name)]
            for key, value in reversed(axes):
                cards.insert(0, (key, value))
            file.write(cards.tostring().encode())
            offsets.append(file.tell())
            end = offsets[-1] + 4 * wave.size * size * size
            file.truncate(end + -end % 2880)
            file.seek(0, 2)
    return offsets


def star_list(x=None, y=None, ra=None, dec=None, mag=None, **other):
    """Return a StarList of the given arrays, NaN where not given."""
    from processing.reference import StarList

    n = len(x if x is not None else ra)
    unknown = np.full(n, np.nan)
    values = dict.fromkeys(("pm_ra", "pm_dec", "epoch"), unknown) | other
    given = {"x": x, "y": y, "ra": ra, "dec": dec, "mag": mag}
    values |= {name: unknown if value is None else np.asarray(value, float) for name, value in given.items()}
    return StarList(star_id=np.array([f"S{i}" for i in range(n)]), mag_name="V", source="test list", **values)
