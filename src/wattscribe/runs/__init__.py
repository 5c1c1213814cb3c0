"""Trials in isolated workers, one journal, one writer: the main path.

Read `experiment → plan → spool → runner → attempt → worker`. This file stays light because every worker imports it.
"""
