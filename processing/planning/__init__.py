"""Which exposure reaches which label precision."""
