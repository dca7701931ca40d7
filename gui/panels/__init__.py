"""The panels of the window, each useful alone."""
