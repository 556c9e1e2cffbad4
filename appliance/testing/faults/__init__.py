"""Faults done to a running appliance, and the independent judgement of what it made of them."""
