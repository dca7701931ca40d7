"""The one-page report of a star, drawn with matplotlib: image, labels, spectrum, fit, residuals, provenance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from processing.labels.residuals import deviations, distribution, normalised_error
from processing.lines import read_lines
from processing.paths import resource
from processing.preparation.air import in_frame, observed
from processing.report.text import pretty_unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from processing.report.evidence import LabelRow
    from processing.report.star import StarReport

A4 = (8.27, 11.69)
"""Inches."""
TEXT, MUTED, LINE, FLUX, FIT, MASK = "#1a1f26", "#596371", "#c3c9d1", "#3a4350", "#c94f00", "#dfe3e8"
MARKS = {"good": ("●", "#00705a"), "warn": ("▲", "#9a6200"), "bad": ("✕", "#b3261e"), "none": ("", MUTED)}
LEFT, RIGHT = 0.085, 0.965
ZOOMS = ((5140.0, 5220.0, "Mg b"), (6530.0, 6595.0, "Hα"), (8480.0, 8560.0, "Ca II"), (5245.0, 5345.0, "Fe I"))
"""Angstrom at rest in air; the first three that the fit covers are shown."""
BOLD: dict[str, Any] = {"family": "Inter Stellacube", "weight": 600}
STYLE: dict[str, Any] = {
    "font.family": ["Inter Stellacube", "DejaVu Sans"], "font.size": 7.5, "text.color": TEXT, "axes.labelcolor": MUTED,
    "axes.edgecolor": LINE, "axes.linewidth": 0.6, "axes.spines.top": False, "axes.spines.right": False,
    "xtick.color": LINE, "ytick.color": LINE, "xtick.labelcolor": MUTED, "ytick.labelcolor": MUTED,
    "xtick.labelsize": 6.5, "ytick.labelsize": 6.5, "axes.labelsize": 7.0, "xtick.major.width": 0.6,
    "ytick.major.width": 0.6, "xtick.major.size": 2.5, "ytick.major.size": 2.5, "axes.unicode_minus": True,
    "pdf.fonttype": 3, "text.parse_math": False,
}  # fmt: skip


def draw(star: StarReport) -> Figure:
    """Draw the report of a star as an A4 page."""
    import matplotlib
    from matplotlib.figure import Figure

    _load_typeface()
    with matplotlib.rc_context(STYLE):  # type: ignore[arg-type]
        page = Figure(figsize=A4)
        _headline(page, star)
        if star.image is not None:
            _image(page, star)
        _labels(page, star)
        wave = observed(star.fit.wave, star.fit.frame, float(np.nan_to_num(star.fit.rv)), star.spectrum.frame)
        axes = [page.add_axes((LEFT, y, RIGHT - LEFT, h)) for y, h in ((0.548, 0.106), (0.375, 0.145), (0.295, 0.07))]
        _observed(axes[0], star)
        _fitted(axes[1], axes[2], star, wave)
        _details(page, star)
        _notes(page, star)
    return page


def _load_typeface() -> None:
    """Use the window's own typeface."""
    from matplotlib import font_manager

    known = {entry.fname for entry in font_manager.fontManager.ttflist}
    for path in sorted(resource("fonts").glob("*.otf")):
        if str(path) not in known:
            font_manager.fontManager.addfont(path)


def _headline(page: Figure, star: StarReport) -> None:
    spectrum, fit = star.spectrum, star.fit
    page.text(LEFT, 0.952, star.spectrum.star_id, size=17, **BOLD, va="baseline")
    page.text(RIGHT, 0.955, "Stellacube", size=8, color=MUTED, ha="right", va="baseline")
    facts = [
        f"RA {spectrum.ra:.5f}°  Dec {spectrum.dec:+.5f}°" if np.isfinite(spectrum.ra) else "",
        f"magnitude {spectrum.mag:.2f}" if np.isfinite(spectrum.mag) else "",
        f"S/N {spectrum.snr:.0f} per pixel" if np.isfinite(spectrum.snr) else "",
        str(spectrum.meta.get("date_obs", ""))[:16].replace("T", " "),
    ]
    page.text(LEFT, 0.934, "    ".join(fact for fact in facts if fact).replace("-", "−", 1), color=MUTED, size=8)
    chi2 = f"χ² per pixel {fit.red_chi2:.2f}    correlation {fit.corr_flux:.3f}    errors × {fit.error_scale:.2f}"
    pixels = f"{fit.n_pix} pixels fitted, {fit.n_masked} masked"
    page.text(LEFT, 0.918, f"{chi2}    {pixels}", color=MUTED, size=8)
    verdict = {"good": "good", "check": "warn", "poor": "bad", "out of scope": "bad"}.get(star.quality, "none")
    words = f"Refit: {star.recipe or 'as the run'}" if not star.quality else f"Quality: {star.quality}"
    page.text(RIGHT, 0.934, words, size=9, **BOLD, ha="right", color=MARKS[verdict][1])
    page.add_artist(_rule(0.908))


def _rule(y: float) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([LEFT, RIGHT], [y, y], color=LINE, linewidth=0.6)


def _image(page: Figure, star: StarReport) -> None:
    """Draw the surroundings of the star in white light, stretched by asinh."""
    assert star.image is not None
    width = 0.235
    axes = page.add_axes((LEFT, 0.726, width, width * A4[0] / A4[1]))
    image = star.image
    level = float(np.nanmedian(image)) if np.isfinite(image).any() else 0.0
    spread = float(1.4826 * np.nanmedian(np.abs(image - level))) or 1.0
    axes.imshow(np.arcsinh((image - level) / (3 * spread)), origin="lower", cmap="gray_r", interpolation="nearest")
    axes.plot(*star.centre, marker="o", markersize=13, markerfacecolor="none", markeredgecolor=FIT, markeredgewidth=1.2)
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(True)
    x, y = star.spectrum.x, star.spectrum.y
    axes.set_xlabel(f"white light, {image.shape[1]} spaxels wide; x {x:.1f}, y {y:.1f}", size=6.5, labelpad=4)


def _labels(page: Figure, star: StarReport) -> None:
    """Write velocity and labels with both errors and marks, in two columns."""
    left = LEFT + 0.29 if star.image is not None else LEFT
    half = -(-len(star.rows) // 2)
    width = (RIGHT - left) / 2
    step = min(0.0185, 0.185 / half)
    for column in range(2):
        x = left + column * width
        places = (x + 0.015, x + 0.145, x + 0.193, x + 0.26)
        for place, title in zip(places, ("", "value", "±", "agreement"), strict=True):
            page.text(place, 0.889, title, size=6.5, color=MUTED, ha="left" if not title else "right")
        for n, row in enumerate(star.rows[column * half : (column + 1) * half]):
            _label(page, row, places, 0.872 - n * step)
    page.text(
        left, 0.872 - half * step - 0.004,
        "● read from its own lines and determined   ▲ one of the two   ✕ neither\n"
        "± with noise as found, correlated pixels, the network's own error; agreement of its gradient with physics",
        size=6, color=MUTED, va="top", linespacing=1.5,
    )  # fmt: skip


def _label(page: Figure, row: LabelRow, places: tuple[float, ...], y: float) -> None:
    mark, colour = MARKS[row.quality]
    page.text(places[0] - 0.015, y, mark, size=6.5, color=colour, family="DejaVu Sans")
    page.text(places[0], y, f"{row.symbol} ({row.unit})" if row.unit else row.symbol)
    page.text(places[1], y, row.value, ha="right", **BOLD, color=MUTED if row.quality == "bad" else TEXT)
    page.text(places[2], y, row.error, ha="right")
    page.text(places[3], y, row.agreement, ha="right", color=MUTED)


def _observed(axes: Axes, star: StarReport) -> None:
    spectrum = star.spectrum
    flux = np.where(spectrum.good, spectrum.flux, np.nan)
    axes.fill_between(spectrum.wave, flux - spectrum.error, flux + spectrum.error, color=FLUX, alpha=0.2, lw=0)
    axes.plot(spectrum.wave, flux, color=FLUX, lw=0.5)
    axes.set(xlim=(spectrum.wave[0], spectrum.wave[-1]), ylim=_range(flux), ylabel="Observed flux")
    axes.set_title(pretty_unit(spectrum.flux_unit), size=6.5, color=MUTED, loc="left", pad=3)


def _fitted(upper: Axes, lower: Axes, star: StarReport, wave: np.ndarray) -> None:
    """Draw the normalised spectrum with its fit, marked lines and masks, and the residuals below."""
    fit = star.fit
    error, sigma = normalised_error(fit), deviations(fit)
    used = fit.ivar > 0
    _masks((upper, lower), wave, used)
    upper.fill_between(wave, fit.flux - error, fit.flux + error, color=FLUX, alpha=0.2, lw=0)
    upper.plot(wave, fit.flux, color=FLUX, lw=0.5)
    upper.plot(wave, fit.best, color=FIT, lw=0.6)
    low, high = _range(np.where(used, fit.flux, np.nan))
    upper.set(ylim=(low, high + 0.12 * (high - low)), ylabel="Flux over continuum", xticklabels=[])
    lower.axhline(0, color=FIT, lw=0.6)
    lower.plot(wave, sigma, color=FLUX, lw=0.4)
    reach = max(5.0, float(np.nanpercentile(np.abs(sigma), 99.5)) if used.any() else 5.0)
    lower.set(ylim=(-reach, reach), ylabel="Residual (σ)", xlabel=f"Wavelength (Å, {star.spectrum.frame}, as observed)")
    for axes in (upper, lower):
        axes.set_xlim(star.spectrum.wave[0], star.spectrum.wave[-1])
    last = ""
    for line in read_lines("stellar"):
        place = float(observed(np.array(line.wave), "air", float(np.nan_to_num(fit.rv)), star.spectrum.frame))
        if line.strong and wave[0] < place < wave[-1]:
            upper.axvline(place, color=LINE, lw=0.5, ls=":", zorder=0)
            if line.name != last:
                upper.text(place, high + 0.1 * (high - low), line.name, size=6, color=MUTED, ha="left", va="top")
            last = line.name


def _masks(axes: tuple[Axes, ...], wave: np.ndarray, used: np.ndarray) -> None:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], ~used, [False]]).astype(np.int8)))
    for start, stop in edges.reshape(-1, 2).tolist():
        for one in axes:
            one.axvspan(wave[start], wave[min(stop, wave.size) - 1], color=MASK, lw=0, zorder=-1)


def _details(page: Figure, star: StarReport) -> None:
    """Draw three stretches at rest, and the distribution of the residuals."""
    fit, width, gap = star.fit, 0.19, 0.0367
    air = in_frame(fit.wave, fit.frame, "air")
    covered = [zoom for zoom in ZOOMS if air[0] <= zoom[0] and zoom[1] <= air[-1]][:3]
    for n, (low, high, name) in enumerate(covered):
        axes = page.add_axes((LEFT + n * (width + gap), 0.14, width, 0.105))
        inside = (air > low) & (air < high)
        used = fit.ivar > 0
        _masks((axes,), air[inside], used[inside])
        axes.plot(air[inside], fit.flux[inside], color=FLUX, lw=0.7, drawstyle="steps-mid")
        axes.plot(air[inside], fit.best[inside], color=FIT, lw=0.8)
        axes.set(xlim=(low, high))
        axes.set_title(f"{name}, at rest", size=7, color=MUTED, loc="left", pad=3)
    found = distribution(fit)
    if found is not None:
        axes = page.add_axes((LEFT + 3 * (width + gap), 0.14, width, 0.105))
        middle = (found.edges[1:] + found.edges[:-1]) / 2
        axes.stairs(found.counts, found.edges, color=FLUX, fill=True, alpha=0.3)
        axes.plot(middle, found.gaussian(middle), color=FIT, lw=0.9)
        axes.set(yticks=[], xlim=(found.edges[0], found.edges[-1]))
        axes.spines["left"].set_visible(False)
        axes.set_title(f"(O − P)/e: width {found.width:.2f}", size=7, color=MUTED, loc="left", pad=3)


def _notes(page: Figure, star: StarReport) -> None:
    import textwrap

    page.add_artist(_rule(0.105))
    masked = ", ".join(f"{name} {count}" for name, count in star.masked) or "none"
    lines = [f"Masked pixels by reason: {masked}."]
    reasons = (star.reason, star.fit.note if star.fit.note not in star.reason else "")
    lines += [text[0].upper() + text[1:] for text in reasons if text]
    body = "\n".join(part for line in lines for part in textwrap.wrap(line, 150))
    page.text(LEFT, 0.095, body, size=7, va="top", linespacing=1.5)
    page.text(LEFT, 0.032, "\n".join(textwrap.wrap(star.provenance, 170)), size=6, color=MUTED, va="bottom")


def _range(values: np.ndarray) -> tuple[float, float]:
    """Return limits with a margin that hold all but single pixels that stand out."""
    known = values[np.isfinite(values)]
    if known.size < 3:
        return 0.0, 1.0
    smooth = np.median(np.lib.stride_tricks.sliding_window_view(known, 3), axis=1)
    low, high = float(smooth.min()), float(np.percentile(known, 99.8))
    margin = 0.12 * (high - low) or 1.0
    return low - margin, high + margin
