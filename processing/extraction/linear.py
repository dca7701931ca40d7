"""The linear algebra of crowded fields: sparse PSF matrices, their factorised normal matrix, and far wings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from processing.extraction.banded import BandedFactor
from processing.extraction.psf import PsfShape
from processing.extraction.psf_profiles import first_guess

STACKS = 4
"""Stacks of slices that MUSE's field is made of, side by side (Bacon et al. 2010)."""


@dataclass(frozen=True)
class Stamps:
    """The pixels that each star's PSF core covers, as the structure of a sparse matrix (n_star, n_pixel).

    Parameters
    ----------
    x, y : ndarray, shape (n_star,)
        Nominal positions the stamps are centred on, spaxels.
    indptr, pixel : ndarray
        Row pointers and column indices; columns count only the pixels in use.
    dx, dy : ndarray, shape (n_entry,), float32
        Offset of each entry's pixel from its star's nominal position.
    taper : ndarray, shape (n_entry,), float32
        Falls smoothly from 1 to 0 at the stamp's edge, where the far wings take over; 1 throughout without wings.
    n_pixel : int
        Number of pixels in use.
    """

    x: np.ndarray
    y: np.ndarray
    indptr: np.ndarray
    pixel: np.ndarray
    dx: np.ndarray
    dy: np.ndarray
    taper: np.ndarray
    n_pixel: int

    @property
    def counts(self) -> np.ndarray:
        """Number of pixels of each star."""
        return np.diff(self.indptr)

    @property
    def star(self) -> np.ndarray:
        """The star of each entry."""
        return np.repeat(np.arange(self.x.size), self.counts)

    def profile(self, psf: PsfShape, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return the entries of unit-flux stars that sit at (x, y), shape (n_entry,), float32."""
        dx = self.dx - np.repeat((x - self.x).astype(np.float32), self.counts)
        dy = self.dy - np.repeat((y - self.y).astype(np.float32), self.counts)
        return (psf(dx, dy) * self.taper).astype(np.float32)

    def matrix(self, data: np.ndarray) -> Any:
        """Return the sparse matrix (n_star, n_pixel) with the given entries."""
        from scipy.sparse import csr_matrix

        return csr_matrix((data, self.pixel, self.indptr), shape=(self.x.size, self.n_pixel))


def make_stamps(x: np.ndarray, y: np.ndarray, used: np.ndarray, radius: float, taper: bool) -> Stamps:
    """Lay out stamps of `radius` spaxels on the pixels where `used` (ny, nx) is True."""
    ny, nx = used.shape
    column = np.where(used.ravel(), np.cumsum(used.ravel()) - 1, -1)
    r = int(np.ceil(radius))
    oy, ox = (o.ravel() for o in np.mgrid[-r : r + 1, -r : r + 1])
    inside = ox**2 + oy**2 <= radius**2
    oy, ox = oy[inside], ox[inside]
    px = np.rint(x).astype(int)[:, None] + ox
    py = np.rint(y).astype(int)[:, None] + oy
    on_image = (px >= 0) & (px < nx) & (py >= 0) & (py < ny)
    pixel = np.where(on_image, column[np.clip(py, 0, ny - 1) * nx + np.clip(px, 0, nx - 1)], -1)
    keep = pixel >= 0
    dx = (px - x[:, None])[keep].astype(np.float32)
    dy = (py - y[:, None])[keep].astype(np.float32)
    indptr = np.concatenate([[0], np.cumsum(keep.sum(1))])
    fall = core_taper(np.hypot(dx, dy), radius) if taper else np.ones_like(dx)
    return Stamps(
        x, y, indptr.astype(np.int32), pixel[keep].astype(np.int32), dx, dy, fall.astype(np.float32), int(used.sum())
    )


def core_taper(r: np.ndarray, radius: float) -> np.ndarray:
    """Return the share of the PSF at distance `r` that the stamp holds: 1 inside, a cosine fall, 0 at the edge."""
    outer = radius - 1.0
    return 0.5 * (1.0 + np.cos(np.pi * np.clip((r - 0.7 * outer) / (0.3 * outer), 0.0, 1.0)))


class FarWings:
    """The light that stars scatter beyond their stamps, by Fourier transform at a cost independent of their number.

    Parameters
    ----------
    x, y : ndarray, shape (n_star,)
        Positions in spaxels; stars outside the image count too.
    shape : tuple of int
        (ny, nx) of the image.
    radius : float
        Radius of the stamps; the wings reach out to six times as far, or across the field.
    """

    def __init__(self, x: np.ndarray, y: np.ndarray, shape: tuple[int, int], radius: float) -> None:
        from scipy.fft import next_fast_len
        from scipy.sparse import csr_matrix

        ny, nx = shape
        self.radius = radius
        self.pad = pad = int(np.ceil(max(0.0, -x.min(), -y.min(), x.max() - nx + 1, y.max() - ny + 1))) + 1
        self.reach = int(min(6 * radius, np.hypot(ny, nx) + pad))
        self.window = (slice(pad, pad + ny), slice(pad, pad + nx))
        self.size = tuple(next_fast_len(n + 2 * pad + self.reach, real=True) for n in shape)
        ix, iy = np.floor(x).astype(int), np.floor(y).astype(int)
        fx, fy = x - ix, y - iy
        corners = [(0, 0, (1 - fx) * (1 - fy)), (1, 0, fx * (1 - fy)), (0, 1, (1 - fx) * fy), (1, 1, fx * fy)]
        grid = np.concatenate([(iy + cy + pad) * self.size[1] + ix + cx + pad for cx, cy, _ in corners])
        weight = np.concatenate([w for *_, w in corners]).astype(np.float32)
        star = np.tile(np.arange(x.size), 4)
        self._deposit = csr_matrix((weight, (grid, star)), shape=(self.size[0] * self.size[1], x.size))

    def transfer(self, psf: PsfShape) -> np.ndarray:
        """Return the Fourier transform of the PSF outside the stamp."""
        from scipy.fft import rfft2

        oy, ox = (np.fft.fftfreq(n, 1.0 / n).astype(np.float32) for n in self.size)
        r = np.hypot(ox[None, :], oy[:, None])
        wing = psf(*np.meshgrid(ox, oy)) * (1.0 - core_taper(r, self.radius))
        return rfft2((wing * (r <= self.reach)).astype(np.float32))

    def images(self, flux: np.ndarray, transfer: np.ndarray) -> np.ndarray:
        """Return the wings' images (n, ny, nx) for fluxes (n_star, n)."""
        from scipy.fft import irfft2, rfft2

        grid = np.ascontiguousarray((self._deposit @ flux.astype(np.float32)).T).reshape(-1, *self.size)
        return irfft2(rfft2(grid) * transfer, s=self.size)[(slice(None), *self.window)]


def background_matrix(used: np.ndarray, kind: str, side: int, unresolved: np.ndarray | None = None) -> Any:
    """Return the background's components as a sparse matrix (n_component, n_pixel).

    The sky is one constant; or a surface that is linear between knots about `side` spaxels apart: each knot's component
    falls from 1 to 0 at its neighbours; or a constant in each group of `side` rows of the instrument's four stacks of
    slices, side by side. The image of unresolved stars (n_pixel,) is one more component.

    Parameters
    ----------
    used : ndarray of bool, shape (ny, nx)
    kind : {"none", "constant", "patches", "slices"}
    side : int
    unresolved : ndarray, shape (n_pixel,), optional
    """
    from scipy.sparse import csr_matrix, vstack

    y, x = np.nonzero(used)
    if kind == "none":
        sky = csr_matrix((0, x.size), dtype=np.float32)
    elif kind == "constant":
        sky = csr_matrix(np.ones((1, x.size), np.float32))
    elif kind == "slices":
        stack = STACKS * (x - x.min()) // (x.max() - x.min() + 1)
        _, group = np.unique(stack + STACKS * ((y - y.min()) // side), return_inverse=True)
        sky = csr_matrix((np.ones(x.size, np.float32), (group, np.arange(x.size))))
    else:
        (jx, fx, nx), (jy, fy, _) = _knots(x, side), _knots(y, side)
        corners = [(jy + b) * nx + jx + a for b in (0, 1) for a in (0, 1)]
        shares = [(fy if b else 1 - fy) * (fx if a else 1 - fx) for b in (0, 1) for a in (0, 1)]
        data, rows = np.concatenate(shares).astype(np.float32), np.concatenate(corners)
        sky = csr_matrix((data, (rows, np.tile(np.arange(x.size), 4))))
        sky = sky[np.flatnonzero(np.asarray(sky.sum(1)).ravel() > 1.0)]  # a knot in a hole has nothing to say
    if unresolved is None or not unresolved.any():
        return sky
    return vstack([sky, csr_matrix(unresolved.astype(np.float32)[None, :])], format="csr")


def _knots(v: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Return the knot below each coordinate, the fraction of the way to the next one, and the number of knots."""
    extent = v.max() - v.min() + 1
    n = max(1, round(extent / side))
    position = (v - v.min() + 0.5) / extent * n
    below = np.minimum(position.astype(int), n - 1)
    return below, position - below, n + 1


def narrowest_order(x: np.ndarray, y: np.ndarray, reach: float) -> np.ndarray:
    """Order stars so that those closer than `reach` have close numbers: by x, by y, or reverse Cuthill-McKee."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import reverse_cuthill_mckee
    from scipy.spatial import cKDTree

    n = x.size
    pairs = cKDTree(np.stack([x, y], axis=1)).query_pairs(reach, output_type="ndarray")
    if pairs.size == 0:
        return np.arange(n)
    both = np.concatenate([pairs, pairs[:, ::-1]])
    graph = csr_matrix((np.ones(len(both), np.int8), both.T), shape=(n, n))
    orders = [np.argsort(x, kind="stable"), np.argsort(y, kind="stable"), reverse_cuthill_mckee(graph, True)]
    widths = []
    for order in orders:
        rank = np.empty(n, dtype=int)
        rank[order] = np.arange(n)
        widths.append(np.abs(rank[pairs[:, 0]] - rank[pairs[:, 1]]).max())
    return np.asarray(orders[int(np.argmin(widths))])


class NormalFactor:
    """The normal matrix of stars and sky, factorised: banded Cholesky for the stars, the sky as its border.

    Parameters
    ----------
    stars : csr_matrix, shape (n_star, n_pixel)
        PSFs, the stars in an order that keeps the band narrow (`narrowest_order`).
    sky : csr_matrix, shape (n_sky, n_pixel)
        The background's components.
    weight : ndarray, shape (n_pixel,)
        1 / variance of each pixel.
    """

    def __init__(self, stars: Any, sky: Any, weight: np.ndarray) -> None:
        from scipy.linalg import cho_factor

        weighted = stars.multiply(weight[None, :].astype(np.float32)).tocsr()
        self.star_star = (weighted @ stars.T).tocoo()
        row, column, value = self.star_star.row, self.star_star.col, self.star_star.data.astype(np.float64)
        n = stars.shape[0]
        self.diagonal = np.zeros(n)
        self.diagonal[row[row == column]] = value[row == column]
        self._scale = 1.0 / np.sqrt(np.where(self.diagonal > 0, self.diagonal, 1.0))
        lower = row >= column
        row, column = row[lower], column[lower]
        scaled = value[lower] * self._scale[row] * self._scale[column]
        self._band = BandedFactor(row, column, scaled, n)
        self._border = (sky @ weighted.T).toarray().T * self._scale[:, None]  # (n_star, n_sky), scaled
        self._through = self._stars_only(self._border)
        background = (sky.multiply(weight[None, :]) @ sky.T).toarray().astype(float)
        schur = background + 1e-6 * np.diag(np.diag(background)) - self._border.T @ self._through
        self._schur = cho_factor(schur, lower=True, check_finite=False) if schur.size else None

    def _stars_only(self, right: np.ndarray) -> np.ndarray:
        return right if right.shape[1] == 0 else self._band.solve(right)

    def solve(self, right: np.ndarray) -> np.ndarray:
        """Solve for right-hand sides (n_star + n_sky, n): stars first, then the sky."""
        from scipy.linalg import cho_solve

        n = self.diagonal.size
        stars = self._stars_only(right[:n] * self._scale[:, None])
        if self._schur is None:
            return stars * self._scale[:, None]
        sky = cho_solve(self._schur, right[n:] - self._border.T @ stars, check_finite=False)
        return np.concatenate([(stars - self._through @ sky) * self._scale[:, None], sky])

    def crowding(self) -> np.ndarray:
        """Return by how much neighbours and sky raise each star's variance: diag(inverse) x diag, >= 1."""
        everyone = np.arange(self.diagonal.size)
        return np.maximum(self._covariance(everyone, everyone), 1.0)

    def correlations(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return pairs of stars whose PSFs overlap, (n_pair,) each, and the correlation of their fluxes' errors."""
        pairs = self.star_star.row > self.star_star.col
        row, column = self.star_star.row[pairs], self.star_star.col[pairs]
        root = np.sqrt(self.crowding())
        return row, column, self._covariance(row, column) / (root[row] * root[column])

    def _covariance(self, row: np.ndarray, column: np.ndarray) -> np.ndarray:
        """Return elements of the stars' block of the inverse of the scaled matrix; row >= column."""
        from scipy.linalg import cho_solve

        out = self._band.inverse(row, column)
        if self._schur is not None:
            by_sky = cho_solve(self._schur, self._through.T, check_finite=False)
            out += np.einsum("ij,ji->i", self._through[row], by_sky[:, column])
        return out


def light_on(used: np.ndarray, x: np.ndarray, y: np.ndarray, fwhm: float, radius: float) -> np.ndarray:
    """Return the fraction of each star's light within `radius` that falls on pixels in use, for a typical PSF."""
    psf = PsfShape("moffat", first_guess("moffat", fwhm, 2.5))
    stamps = make_stamps(x, y, used, radius, taper=False)
    return np.bincount(stamps.star, stamps.profile(psf, x, y), minlength=x.size)
