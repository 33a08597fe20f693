"""How good guesses are: metrics, baselines, benchmarks, reports."""
