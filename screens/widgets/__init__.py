"""The pieces that screens are put together from. They get values and say what the user did; they know no service."""
