"""Trials in isolated workers, one journal, one writer: the main path."""
