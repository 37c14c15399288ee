"""How much each key may ask for, counted across processes."""
