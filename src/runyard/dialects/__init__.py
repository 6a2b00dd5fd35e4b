"""The platforms whose APIs we answer: one folder each. A dialect only spells; the core decides."""
