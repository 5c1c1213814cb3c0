"""Encoder–decoders as `compress` sees them: four components in two files, levers of their own, and how speech goes through."""
