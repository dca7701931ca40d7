"""The window: it shows what the engine made and starts the engine; it computes nothing itself."""
