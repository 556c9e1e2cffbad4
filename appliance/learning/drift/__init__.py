"""Drift: are pictures and verdicts still what they were in training, and last week? No numpy here: it is a daemon."""
