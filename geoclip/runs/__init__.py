"""Long runs over folders: what was read is kept in a journal, so that a run can go on."""
