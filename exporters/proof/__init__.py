"""How it is shown that a variant is the same model: parity, accuracy, gates."""
