"""The window in which a run is started."""
