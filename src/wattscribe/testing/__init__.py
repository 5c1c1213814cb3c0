"""Fakes and builders that our tests use and users may too."""
