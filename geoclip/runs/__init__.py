"""Long runs over folders: a journal keeps what was read, so that a run can resume."""
