"""Locating many photos: what is read goes into a journal, and from there into the table.

`run` reads and encodes, `journal` and `records` keep what was found, `answers` ranks it block by
block; `ledger` lists files that were not located.
"""
