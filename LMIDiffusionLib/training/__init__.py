"""Training of score networks on target-modality volumes alone."""
