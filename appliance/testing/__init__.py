"""Fakes and helpers for tests; runtime code may not import this."""
