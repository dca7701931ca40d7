"""The columns of the catalogue (Table 2 and what the program adds): names, units, descriptions, in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from processing.labels.names import LABELS


@dataclass(frozen=True)
class Column:
    """One column of the catalogue."""

    name: str
    unit: str
    description: str
    kind: type = float
    """float, int, bool or str."""


POSITION = (
    Column("stellar_id", "", "identifier in the star list", str),
    Column("ra", "deg", "right ascension, ICRS"),
    Column("dec", "deg", "declination, ICRS"),
)
EXTRACTION = (
    Column("x", "pix", "position in the cube along NAXIS1, counted from 0"),
    Column("y", "pix", "position in the cube along NAXIS2, counted from 0"),
    Column("snr_muse", "", "median of flux over the pipeline's error, per pixel of the input spectrum"),
    Column("snr_red", "", "the same above 5991 A alone: what the paper's cuts for the bulge mean"),
    Column("snr_der", "", "DER_SNR: median flux over the scatter of neighbouring pixels, per pixel"),
)
FIT = (
    Column("rv", "km / s", "radial velocity, in the frame of the input's wavelengths"),
    Column("rv_err", "km / s", "error of rv, rescaled by error_scale"),
    Column("red_chi2", "", "chi2 over the number of fitted pixels, with the pipeline's errors (Eq. 3)"),
    Column("corr_flux", "", "Pearson correlation of flux and best fit over the fitted pixels"),
    Column("error_scale", "", "robust scatter of (fit - flux) / error: the factor by which the errors are too small"),
    Column("extrapolated", "", "true where labels lie outside what the model was trained on", bool),
    Column("n_pix", "", "number of fitted pixels", int),
    Column("n_masked", "", "number of pixels of the model's grid that were masked", int),
    Column("n_replaced", "", "number of pixels with sky-line residuals that were replaced by their neighbours", int),
    Column("at_limit", "", "labels that ended at the limits of the fit", str),
    Column("prior", "", "what was known beforehand: labels with a Gaussian prior, mean and standard deviation", str),
    Column("rv_arms", "km / s", "velocity of the part above 5900 A minus that of the part below"),
    Column("rv_arms_err", "km / s", "error of rv_arms"),
    Column("grad_distance", "", "distance to the star whose physical gradients were compared (Eq. 4)"),
)
QUALITY = (
    Column("status", "", "how the spectrum was extracted", str),
    Column("multistar", "", "true where stars too close to separate share the spectrum", bool),
    Column("edge_dist", "pix", "distance to the edge of the field"),
    Column("contamination", "", "fraction of the light within the PSF that belongs to other stars"),
    Column("n_eff", "", "crowding: effective number of stars whose light falls into the PSF"),
    Column("psf_fwhm", "pix", "full width at half maximum of the PSF at the middle wavelength"),
    Column("quality", "", "good, check, poor, out of scope or not fitted", str),
    Column("quality_reason", "", "why quality is not good", str),
    Column("model", "", "model that gave the labels", str),
    Column("model_version", "", "its version", str),
    Column("cube", "", "file the spectrum came from", str),
    Column("date", "", "date of the observation", str),
)


def magnitude_column(name: str) -> Column:
    """Return the column of the star list's magnitude, named after the list's own (``mag_F606W``)."""
    plain = "".join(c if c.isalnum() else "_" for c in name).strip("_")
    if not plain:
        return Column("mag", "mag", "magnitude of the star list")
    column = plain if "mag" in plain.lower() else f"mag_{plain}"
    return Column(column, "mag", f"magnitude {name} of the star list")


def label_columns(labels: Sequence[str]) -> tuple[Column, ...]:
    """Return value, formal and rescaled error, and the evidence of every label."""
    columns: list[Column] = []
    for name in labels:
        info = LABELS[name]
        columns += [
            Column(name, info.unit, f"{info.symbol}: {info.description}"),
            Column(f"{name}_err", info.unit, f"formal error of {info.symbol}, from the pipeline's errors"),
            Column(
                f"{name}_err_cal",
                info.unit,
                f"error of {info.symbol}: noise rescaled by error_scale, correlated pixels, the network's own error",
            ),
            Column(f"{name}_err_scaled", info.unit, f"part of {name}_err_cal that is noise, rescaled by error_scale"),
            Column(f"{name}_err_model", info.unit, f"part of {name}_err_cal that is the network's own error"),
            Column(f"{name}_flag", "", f"1 where {name}_gradcorr is above 0.5: the network reads its own lines", int),
            Column(f"{name}_gradcorr", "", f"correlation of the network's {info.symbol} gradient with physics"),
            Column(f"{name}_info", "", f"1 where this spectrum can determine {info.symbol} (Cramer-Rao bound)", int),
            Column(f"{name}_gradcorr_info", "", f"as {name}_gradcorr, each pixel weighted by its information"),
        ]
    return tuple(columns)


def all_columns(magnitude: str, labels: Sequence[str]) -> tuple[Column, ...]:
    """Return all columns of a catalogue in their order; without labels, those of an extraction alone."""
    fit = (*label_columns(labels), *FIT) if labels else ()
    return (*POSITION, magnitude_column(magnitude), *EXTRACTION, *fit, *QUALITY)
