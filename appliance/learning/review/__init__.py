"""Review: a person says of parts whether their verdicts were right, and the field's true rates follow."""
