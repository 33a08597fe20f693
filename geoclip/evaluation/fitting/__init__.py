"""Fitting a ranking to photos of known place: temperatures, priors, stacking factor, radii."""
