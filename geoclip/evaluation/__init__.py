"""How good guesses are: metrics, baselines, benchmarks, reports.

`matching` joins guesses and truth, `evaluation` computes their figures. A report goes from figures
to tables to a page: `evaluation_report`, `evaluation_tables`, `evaluation_page`, and `comparison`,
`comparison_tables`, `comparison_page`; pages are made of `html_page` and `svg_figures`. A benchmark
goes from `benchmark_sets` to `benchmark_rows` to `benchmark_files`. `split_figures` are those of
the main job.
"""
