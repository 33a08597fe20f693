"""The demonstration planet: street scenes drawn from gazetteer facts."""
