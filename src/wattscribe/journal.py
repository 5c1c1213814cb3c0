"""The run on disk: one SQLite file, one writer; bench writes it, report, compare and calibrate read it."""
