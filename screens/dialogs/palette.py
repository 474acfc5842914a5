"""The command palette and the choice of colours."""
