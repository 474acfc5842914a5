"""The life of a turn: instructions, context, the choice of model, and the answer as it arrives."""
