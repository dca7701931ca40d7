"""The Stellacube engine: from a data cube to a catalogue of stellar labels. It never imports Qt."""

__version__ = "0.1.0"
