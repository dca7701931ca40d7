"""Parts of the simulator: the library of spectra, the field, the sky and the point spread function."""
