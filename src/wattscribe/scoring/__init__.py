"""From stored text to word errors and intervals; pure."""
