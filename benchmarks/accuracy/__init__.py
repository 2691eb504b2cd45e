"""make accuracy: published rows against the truth of a simulated estate."""
