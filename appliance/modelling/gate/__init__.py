"""The gate every model passes before it judges parts: whole, signed, harmless, running, and right on golden images.

Import its modules: `verify` (the gate itself), `graph_check` (what is refused unseen), `limits`, `report`.
"""
