"""Star spectra in and out of files.

Written: one FITS file per star in PampelMUSE's layout, and all stars in one binary table. Read: both of these, a
session, PampelMUSE, LAMOST (three layouts), SDSS, tables of wavelength, flux and error, and FITS images of one
dimension with a wavelength axis.
"""

from processing.spectra_io.read import read_file, read_spectra, spectrum_files
from processing.spectra_io.write import file_name, write_spectrum, write_spectrum_table

__all__ = ["file_name", "read_file", "read_spectra", "spectrum_files", "write_spectrum", "write_spectrum_table"]
