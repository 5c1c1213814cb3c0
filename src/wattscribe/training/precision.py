"""In which precision a training computes here."""

from __future__ import annotations

from typing import Literal

import torch

Precision = Literal["auto", "bf16", "fp32"]


def chosen(precision: Precision, accelerator: Literal["cpu", "cuda", "auto"] = "cpu") -> Literal["bf16", "fp32"]:
    """`auto`: bf16 on a GPU and on a processor with instructions for it, where it is several times faster; fp32 elsewhere, where
    bf16 would be several times slower."""
    if precision != "auto":
        return precision
    on_gpu = accelerator == "cuda" or (accelerator == "auto" and torch.cuda.is_available())
    return "bf16" if on_gpu or torch.cpu.get_capabilities().get("avx512_bf16", False) else "fp32"
