"""From findings to verdicts: the ledger, its deadlines, and the publisher process around them."""
