"""Makes a plan happen."""
