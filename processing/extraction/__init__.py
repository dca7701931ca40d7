"""From a cube and a star list to one spectrum per star."""
