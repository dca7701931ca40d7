"""Networks, fits, errors and evidence for stellar labels."""
