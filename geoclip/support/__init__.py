"""Shared tools: whole files, seeded chance, tables, paths, the process, the name guard."""
