"""Star spectra in and out of files.

Written: one FITS file per star in PampelMUSE's layout (to the letter, or with all that is known), and all stars in one
binary table. Read: both of these, a
session, PampelMUSE, LAMOST (three layouts), SDSS, tables of wavelength, flux and error, and FITS images of one
dimension with a wavelength axis.
"""

from processing.spectra_io.pampelmuse import pampelmuse_name, write_pampelmuse
from processing.spectra_io.read import read_file, read_spectra, spectrum_files
from processing.spectra_io.write import file_name, write_spectrum, write_spectrum_table

__all__ = [
    "file_name",
    "pampelmuse_name",
    "read_file",
    "read_spectra",
    "spectrum_files",
    "write_pampelmuse",
    "write_spectrum",
    "write_spectrum_table",
]
