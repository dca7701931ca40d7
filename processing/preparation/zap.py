"""ZAP (Soto et al. 2016) as an optional extra: sky residuals taken out of a cube before a run, its stars masked."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from processing.cube import MuseCube
from processing.errors import StellacubeError
from processing.files import replacing
from processing.progress import CancelCheck, Progress, ignore, never, part, stop_if

WARNING = (
    "ZAP learns the sky from the field, and what stars have in common can pass for sky: without a source mask it "
    "raised a bright star's residuals from 5.8 to 44, and in a crowded field no mask helps. Wang et al. (2022) do not "
    "use it. Compare labels with and without."
)


def source_mask(white: np.ndarray, sigma: float = 3.0, grow: int = 2) -> np.ndarray:
    """Return where a white-light image shows sources, or nothing at all.

    Parameters
    ----------
    white : ndarray, shape (ny, nx)
        Flux; NaN where there is none.
    sigma : float
        Threshold over the sky, in its robust scatter.
    grow : int
        Spaxels by which sources are grown.

    Returns
    -------
    ndarray of int, shape (ny, nx)
        1 at sources, 0 in the sky, as ZAP wants it.
    """
    from scipy.ndimage import binary_dilation, gaussian_filter

    there = np.isfinite(white)
    image = gaussian_filter(np.where(there, white, np.nanmedian(white)), 1.0)
    sky = there.copy()
    for _ in range(10):
        level = np.median(image[sky])
        scatter = 1.4826 * np.median(np.abs(image[sky] - level))
        sky = there & (image < level + sigma * scatter)
    return (binary_dilation(there & ~sky, iterations=grow) | ~there).astype(np.int16)


def clean_with_zap(path: Path, out: Path, *, progress: Progress = ignore, cancelled: CancelCheck = never) -> float:
    """Run ZAP on a cube with its sources masked, and return the share of the field that it learnt from.

    Parameters
    ----------
    path, out : Path
        The cube, and the cleaned one.

    Raises
    ------
    StellacubeError
        If ZAP is not installed, or fails.
    """
    try:
        import zap
    except ImportError as error:
        raise StellacubeError("ZAP is not installed.", 'Install it: pip install "stellacube[zap]".') from error
    from astropy.io import fits

    with MuseCube.open(path) as cube:
        white = cube.overview(progress=part(progress, 0.0, 0.2), cancelled=cancelled).white
    mask = source_mask(white)
    stop_if(cancelled)
    progress(0.2, "ZAP at work; it cannot be stopped before it is done")
    with replacing(out) as temporary:
        beside = temporary.with_name(f"{temporary.name}_mask.fits")
        try:
            fits.PrimaryHDU(mask).writeto(beside, overwrite=True)
            zap.process(str(path), outcubefits=str(temporary), mask=str(beside), overwrite=True)
        except (ValueError, OSError, KeyError, IndexError) as error:
            raise StellacubeError(f"ZAP failed on {path.name}: {error}.", "Use the cube as it is.") from error
        finally:
            beside.unlink(missing_ok=True)
    return float(np.mean(mask == 0))
