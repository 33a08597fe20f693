"""Locating many photos: what is read goes into a journal, and from there into the table.

`run` reads and encodes, `journal` and `records` keep what was found, `answers` ranks and
`table_stream` writes it block by block; `ledger` lists files that were not located.
"""
