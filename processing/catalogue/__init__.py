"""The catalogue: its table, its cuts and its files."""
