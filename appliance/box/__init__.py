"""Life on the machine: which processes there are, keeping them alive, saying how they are."""
