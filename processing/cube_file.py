"""The FITS file under a cube: which extension is what, is it all there, and plain reads of layers and columns."""

from __future__ import annotations

import re
import threading
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from processing.errors import StellacubeError

NoiseKind = Literal["variance", "error", "ivar"]

_NOISE_NAMES: dict[str, NoiseKind] = {
    "STAT": "variance", "VAR": "variance", "VARIANCE": "variance",
    "ERR": "error", "ERROR": "error", "SIGMA": "error", "STDDEV": "error", "UNCERT": "error",
    "IVAR": "ivar",
}  # fmt: skip
_NOISE_CLASSES: dict[str, NoiseKind] = {"MSE": "variance", "RMSE": "error", "INVMSE": "ivar"}  # ESO's HDUCLAS3
_BYSTANDERS = re.compile(r"ESO (PRO REC\d+ (RAW|CAL|PIPE|DRS)|QC|DET|TEL|TPL|SEQ|OCS|DPR|ADA|GEN)|COMMENT|HISTORY|$")
_MASK_NAMES = ("DQ", "MASK", "FLAG", "QUALITY")
_PACKED = {b"\x1f\x8b": "gzip", b"BZ": "bzip2", b"PK": "zip", b"\xfd7": "xz", b"\x1f\x9d": "compress"}


@dataclass(frozen=True)
class ImageLayout:
    """Where a three-dimensional image lies in the file and how its numbers are stored.

    Parameters
    ----------
    name : str
        Name of the extension, for messages.
    offset : int
        First byte of the data in the file.
    dtype : numpy.dtype
        As stored, big-endian.
    shape : tuple of int
        (n_wave, ny, nx).
    scale, zero : float
        Physical value = zero + scale * stored (BSCALE, BZERO).
    blank : int or None
        Stored value that means "missing" in integer images.
    """

    name: str
    offset: int
    dtype: np.dtype
    shape: tuple[int, int, int]
    scale: float = 1.0
    zero: float = 0.0
    blank: int | None = None

    @property
    def layer_bytes(self) -> int:
        """Size of one layer in the file."""
        return self.shape[1] * self.shape[2] * self.dtype.itemsize

    @property
    def end(self) -> int:
        """First byte after the data."""
        return self.offset + self.shape[0] * self.layer_bytes


@dataclass(frozen=True)
class CubeFile:
    """What a cube's file holds."""

    path: Path
    primary: Any
    """Primary header (astropy.io.fits.Header)."""
    header: Any
    """Header of the flux extension."""
    flux: ImageLayout
    noise: ImageLayout | None
    noise_kind: NoiseKind
    mask: ImageLayout | None
    lsf: np.ndarray | None
    """FWHM of the line spread function in Angstrom per layer, from a one-dimensional extension called LSF."""
    notes: tuple[str, ...]


class ImageReader:
    """Reads blocks of layers and columns of spaxels from the file, as native numbers.

    The file is read rather than mapped: the kernel maps far more of it than is touched (1.4 GB of a 3 GB cube after one
    spaxel), and that counts as the program's memory. The lock lets several threads share one reader.
    """

    def __init__(self, path: Path, layout: ImageLayout) -> None:
        self.layout = layout
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115 - closed by close()
        self._lock = threading.Lock()

    def layers(self, start: int, stop: int) -> np.ndarray:
        """Return the layers ``start..stop``, shape (stop - start, ny, nx)."""
        layout = self.layout
        block = np.empty((stop - start, *layout.shape[1:]), layout.dtype)
        self._fill(block.reshape(1, -1), layout.offset + start * layout.layer_bytes, 0)
        return self._physical(block)

    def columns(self, rows: slice, columns: slice) -> np.ndarray:
        """Return the spectra of a box of spaxels, shape (n_wave, len(rows), len(columns))."""
        layout = self.layout
        n_wave, _, nx = layout.shape
        height, width = rows.stop - rows.start, columns.stop - columns.start
        strip = np.empty((n_wave, (height - 1) * nx + width), layout.dtype)
        first = layout.offset + (rows.start * nx + columns.start) * layout.dtype.itemsize
        self._fill(strip, first, layout.layer_bytes)
        return self._physical(np.stack([strip[:, i * nx : i * nx + width] for i in range(height)], axis=1))

    def close(self) -> None:
        """Release the file."""
        self._file.close()

    def _fill(self, rows: np.ndarray, offset: int, step: int) -> None:
        """Read every row of an array from the file, the first at byte `offset`, the next ones `step` bytes further."""
        buffer = rows.view(np.uint8)
        with self._lock:
            if self._file.closed:
                raise StellacubeError("The cube has been closed.", "Open it again.")
            for i in range(len(buffer)):
                self._file.seek(offset + i * step)
                view = buffer[i].data
                while len(view):
                    count = self._file.readinto(view)
                    if not count:
                        raise StellacubeError(f"{self._file.name} ends in the middle of {self.layout.name}.")
                    view = view[count:]

    def _physical(self, stored: np.ndarray) -> np.ndarray:
        """Convert an array of its own to native byte order, in place, and to physical values where they are scaled."""
        layout = self.layout
        native = stored if stored.dtype.isnative else stored.byteswap(inplace=True).view(stored.dtype.newbyteorder())
        plain = layout.scale == 1.0 and layout.zero == 0.0
        if plain and (layout.blank is None or layout.dtype.kind == "f"):
            return native
        values = native * layout.scale + layout.zero
        if layout.blank is not None and layout.dtype.kind != "f":
            values[native == layout.blank] = np.nan
        return values


def read_cube_file(path: str | Path) -> CubeFile:
    """Find flux, noise and mask in a FITS file and check that they are complete; no pixel is read.

    Raises
    ------
    StellacubeError
        If there is no such file, or it is compressed, no FITS, truncated, or holds no three-dimensional image.
    """
    from astropy.io import fits

    path = Path(path)
    _check_readable(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd cards and truncation; what matters is checked here
            with fits.open(path, memmap=True, do_not_scale_image_data=True, output_verify="ignore") as hdus:
                return _describe(path, hdus)
    except StellacubeError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, fits.VerifyError) as error:
        raise StellacubeError(f"{path.name} cannot be read as FITS: {error}.", "Download or copy it again.") from error


def _check_readable(path: Path) -> None:
    """Raise a sentence for whatever is not an uncompressed FITS file."""
    if not path.exists():
        raise StellacubeError(f"There is no file {path}.", "Check the name and the folder.")
    if path.is_dir():
        raise StellacubeError(f"{path} is a folder, not a cube.", "Choose the FITS file in it.")
    try:
        with open(path, "rb") as file:
            start = file.read(10)
    except OSError as error:
        raise StellacubeError(f"{path} cannot be read: {error.strerror}.", "Check its permissions.") from error
    if not start:
        raise StellacubeError(f"{path.name} is empty.", "Download or copy it again.")
    if packed := _PACKED.get(start[:2]):
        tool = {"gzip": "gunzip", "bzip2": "bunzip2", "zip": "unzip", "xz": "unxz", "compress": "uncompress"}[packed]
        raise StellacubeError(
            f"{path.name} is compressed ({packed}); a cube has to be unpacked to be read in pieces.",
            f"Unpack it first, for example with: {tool} {path.name}",
        )
    if not start.startswith(b"SIMPLE"):
        raise StellacubeError(f"{path.name} is not a FITS file.", "A cube from the MUSE pipeline or mpdaf is needed.")


def _describe(path: Path, hdus: Any) -> CubeFile:
    """Sort the extensions of an open FITS file into flux, noise and mask."""
    notes: list[str] = []
    if any(hdu.header.get("ZIMAGE", False) or type(hdu).__name__ == "CompImageHDU" for hdu in hdus):
        raise StellacubeError(
            f"{path.name} is compressed inside (.fz, tiles); a cube has to be unpacked to be read in pieces.",
            f"Unpack it first, for example with: funpack {path.name}",
        )
    images = [hdu for hdu in hdus if hdu.is_image and hdu.header.get("NAXIS", 0) > 0]
    cubes = [hdu for hdu in images if hdu.header["NAXIS"] == 3]
    special = {*_NOISE_NAMES, *_MASK_NAMES}
    named = [hdu for hdu in cubes if hdu.name == "DATA"] or [hdu for hdu in cubes if hdu.name not in special]
    if not named:
        _explain_no_cube(path, images)
    data = named[0]
    size = path.stat().st_size
    flux = _layout(data, path, size)
    if min(flux.shape) < 1:
        raise StellacubeError(f"The image {data.name} of {path.name} is empty: {flux.shape}.")
    noise, kind = None, "variance"
    mask = None
    for hdu in cubes:
        if hdu is data:
            continue
        is_noise, is_mask = hdu.name in _NOISE_NAMES, hdu.name in _MASK_NAMES
        if (is_noise or is_mask) and hdu.shape != data.shape:
            notes.append(f"The extension {hdu.name} has another shape than the flux and is not used.")
        elif is_noise and noise is None:
            noise = _layout(hdu, path, size)
            kind = _NOISE_CLASSES.get(str(hdu.header.get("HDUCLAS3", "")).strip().upper(), _NOISE_NAMES[hdu.name])
        elif is_mask and mask is None:
            mask = _layout(hdu, path, size)
    if noise is None and str(data.header.get("ERRDATA", "")).strip():
        notes.append("The header promises a variance extension that the file does not hold; it may have been cut off.")
    return CubeFile(
        path=path,
        primary=_readable_cards(hdus[0].header, notes),
        header=_readable_cards(data.header, notes),
        flux=flux,
        noise=noise,
        noise_kind=kind,  # type: ignore[arg-type]
        mask=mask,
        lsf=_lsf(hdus, flux.shape[0]),
        notes=tuple(dict.fromkeys(notes)),
    )


def _readable_cards(header: Any, notes: list[str]) -> Any:
    """Copy a header without the cards that cannot be parsed, and without the thousands that say how it was made."""
    from astropy.io import fits

    copy = fits.Header()
    for card in header.cards:
        if _BYSTANDERS.match(card.keyword):
            continue
        try:
            copy.append((card.keyword, card.value, card.comment), end=True)  # parsed only now
        except (fits.VerifyError, ValueError):
            notes.append(f"The header card {card.keyword} is damaged and is ignored.")
    return copy


def _explain_no_cube(path: Path, images: list[Any]) -> None:
    """Say what the file holds instead of a cube."""
    if not images:
        raise StellacubeError(f"{path.name} holds no image.", "A three-dimensional cube is needed, as DATACUBE_*.fits.")
    shapes = ", ".join(f"{hdu.name or 'image'} {' x '.join(map(str, reversed(hdu.shape)))}" for hdu in images[:4])
    raise StellacubeError(
        f"{path.name} holds no cube but {images[0].header['NAXIS']}-dimensional data ({shapes}).",
        "A three-dimensional cube is needed, as DATACUBE_*.fits.",
    )


def _layout(hdu: Any, path: Path, size: int) -> ImageLayout:
    """Describe one image extension and check that the file is long enough for it."""
    header = hdu.header
    kind = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}[header["BITPIX"]]
    layout = ImageLayout(
        name=hdu.name or "the image",
        offset=int(hdu.fileinfo()["datLoc"]),
        dtype=np.dtype(kind),
        shape=(int(header["NAXIS3"]), int(header["NAXIS2"]), int(header["NAXIS1"])),
        scale=float(header.get("BSCALE", 1.0)),
        zero=float(header.get("BZERO", 0.0)),
        blank=header.get("BLANK"),
    )
    if layout.end > size:
        raise StellacubeError(
            f"{path.name} is truncated: {layout.name} should reach byte {layout.end} but the file ends at {size}.",
            "Download or copy it again.",
        )
    return layout


def _lsf(hdus: Any, n_wave: int) -> np.ndarray | None:
    """Return the line spread function that the file carries as an extension LSF, one FWHM in Angstrom per layer."""
    for hdu in hdus:
        if hdu.name == "LSF" and hdu.is_image and hdu.shape == (n_wave,):
            return np.array(hdu.data, dtype=float)
    return None
