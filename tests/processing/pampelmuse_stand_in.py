"""Stands for the program PampelMuse: checks what it is given, and writes files of the documented layout.

Its PSF and fluxes are read from ``truth.npz`` beside this file, so that what comes back can be compared with them.
"""

import csv
import json
import sys
import time
from pathlib import Path

import numpy as np
from astropy.io import fits

KNOWN = {
    "global": {"prefix", "verbose", "interact", "cpucount", "smallifu"},
    "layers": {"first", "last", "binning"},
    "catalog": {"name", "passband", "saturated"},
    "psf": {"profile", "fwhm", "beta", "e", "theta", "radius", "fit", "inspect"},
    "sky": {"use", "binsize", "subtract", "slices", "oversampling"},
    "polynom": {"type", "degree", "mask", "common"},
    "initfit": {"usesigma", "zeromag", "zerofix", "psfmag", "confdens", "snrcut", "binrad", "ccmaxoff"},
    "cubefit": {"usesigma", "iterations", "offsets"},
    "getspectra": {"prefix", "folder", "passbands", "poststamps", "skipflag"},
}


def vectors(rows, *names):
    """Return a table with one row per parameter and a vector over wavelength in each further column."""
    size = len(next(iter(rows.values())))
    columns = [fits.Column("name", "8A", array=np.array(list(rows)))]
    columns += [fits.Column(name, f"{size}D", array=np.stack(list(rows.values()))) for name in names]
    return columns


def main():
    config_path, routine = sys.argv[1:]
    here = Path(__file__).resolve().parent
    config = json.loads(Path(config_path).read_text())
    for section, entries in config.items():
        assert set(entries) <= KNOWN[section], (section, set(entries) - KNOWN[section])
    assert config["global"]["interact"] is False
    prefix = Path(config["global"]["prefix"])
    with fits.open(f"{prefix}.fits") as hdus:
        data, stat = hdus["DATA"].data, hdus["STAT"].data
        bad = np.isfinite(data) & ~(stat > 0)
        assert not bad.any(), "voxels of zero variance that are not masked"
        header = hdus["DATA"].header
        exposure = hdus[0].header["DATE-OBS"]
    with open(config["catalog"]["name"]) as file:
        stars = list(csv.DictReader(file))
    assert {"id", config["catalog"]["passband"]} <= set(stars[0]), stars[0]
    assert {"ra", "dec"} <= set(stars[0]) or {"x", "y"} <= set(stars[0])
    ids = np.array([int(star["id"]) for star in stars])
    sys.stdout.write(f"{routine}: {len(stars)} stars\n")
    with open(here / "calls.txt", "a") as file:
        file.write(routine + "\n")
    if (here / f"fail_{routine}").exists():
        sys.stdout.write("RuntimeError: the fit did not converge\n")
        sys.exit(3)
    if (here / f"hang_{routine}").exists():
        time.sleep(600)

    truth = np.load(here / "truth.npz")
    n_wave, t = data.shape[0], truth["t"]
    prm = Path(f"{prefix}.prm.fits")
    if routine == "INITFIT":
        psf = {"fwhm": truth["fwhm"], "beta": truth["beta"], "e": truth["e"] + 0 * t, "theta": truth["theta"] + 0 * t}
        place = {"A": 0.2 + 0 * t, "B": 0 * t, "C": 0 * t, "D": 0.2 + 0 * t}
        place |= {"x0": 30 + truth["drift"][0] * t, "y0": 31 + truth["drift"][1] * t}
        spectra = fits.ImageHDU(np.zeros((n_wave, len(stars), 2), np.float32), name="SPECTRA")
        spectra.header["CRVAL3"], spectra.header["CDELT3"] = 1e-10 * header["CRVAL3"], 1e-10 * header["CD3_3"]
        status = np.where(np.arange(len(stars)) < 5, 3, 2)
        sources = [fits.Column("ID", "J", array=ids), fits.Column("status", "J", array=status)]
        fits.HDUList([
            fits.PrimaryHDU(), fits.BinTableHDU.from_columns(sources, name="SOURCES"), spectra,
            fits.BinTableHDU.from_columns([fits.Column("dummy", "D", array=np.zeros(2))], name="POSPARS"),
            fits.BinTableHDU.from_columns(vectors(place, "value", "polyfit"), name="POSITIONS"),
            fits.BinTableHDU.from_columns(vectors(psf, "value", "polyfit"), name="PSFPARS"),
        ]).writeto(prm, overwrite=True)  # fmt: skip
        return
    assert prm.exists(), "INITFIT comes first"
    if routine == "GETSPECTRA":
        folder = Path(config["getspectra"]["folder"])
        folder.mkdir(exist_ok=True)
        for number in ids:
            if str(number) in truth["skipped"]:
                continue
            flux = truth["flux"][list(truth["number"]).index(number)]
            primary = fits.PrimaryHDU(flux.astype(np.float32))
            sigma = fits.ImageHDU((0.01 * flux).astype(np.float32), name="SIGMA")
            for hdu in (primary, sigma):
                hdu.header["CRPIX1"], hdu.header["CTYPE1"] = 1.0, "AWAV"
                hdu.header["CRVAL1"], hdu.header["CDELT1"] = 1e-10 * header["CRVAL3"], 1e-10 * header["CD3_3"]
            cards = primary.header
            cards["DATE-OBS"], cards["HIERARCH STAR ID"] = exposure, int(number)
            cards["HIERARCH PAMPELMUSE VERSION"], cards["HIERARCH PAMPELMUSE SEEING"] = "stand-in", 4.0
            cards["HIERARCH SPECTRUM MULTISTAR"], cards["HIERARCH SPECTRUM QLTFLAG"] = False, 0
            cards["HIERARCH SPECTRUM XCUBE"], cards["HIERARCH SPECTRUM YCUBE"] = 1.0, 2.0
            name = f"{config['getspectra']['prefix']}id{number:09d}jd2458635p5833f000.fits"
            fits.HDUList([primary, sigma]).writeto(folder / name, overwrite=True)


main()
