"""From an observed spectrum to one that the networks can be compared with."""
