"""What the README claims, runnable: `python -m benchmarks.NAME`. Figures are medians of interleaved runs."""
