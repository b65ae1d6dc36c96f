"""How good and how fast: scores of translations against true targets, and timings."""
