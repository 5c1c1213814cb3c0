"""ONNX as something that can be read, changed, run and written, without the onnx package.

`wire` → `model` → `index`, `editor` → what is made simpler (`simplify`, `masks`, `one_stream`, `trim`, `row_scales`) or longer
(`rules`, `states`, `unroll`) → `write`, `names` → `session`, `inner_values` → `cache`.
"""
