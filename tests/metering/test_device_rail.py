"""Which trace stands for the device."""

from __future__ import annotations

import math
from dataclasses import replace

from tests.known import known
from tests.metering.traces import grid, of
from wattscribe.metering import window


def test_the_total_stands_for_the_device_and_never_a_sum() -> None:
    total = grid([9.0] * 10, channel="ina3221.VDD_IN")
    part = grid([4.0] * 10, channel="ina3221.VDD_SOC", total=False, covers="SoC without CPU and GPU")
    gpu = grid([50.0] * 10, channel="nvml.gpu0", processors=("gpu",), gpu_index=0)
    cpu = grid([20.0] * 10, channel="rapl.cpu", processors=("cpu",))
    guess = grid([3.0] * 10, channel="modelled", evidence="modelled")
    assert window.preferred([part, total, gpu]) is total
    assert window.preferred([gpu, cpu], "cuda:0") is gpu
    assert window.preferred([gpu, cpu], "cpu") is cpu
    assert known(window.preferred([guess, replace(part, processors=("cpu",))])).channel == part.channel
    assert window.preferred([guess, part]) is guess, "a rail without the processors is not the device"
    assert window.preferred([part]) is None
    assert window.preferred([]) is None


def test_words_that_name_a_processor_choose_nothing() -> None:
    """A board without a total: its busiest rail is what is left over, and says so in words that name both processors."""
    rest = grid([9.0] * 10, channel="ina3221.SOC", total=False, covers="SoC without CPU and GPU")
    cpu = grid([4.0] * 10, channel="ina3221.CPU", total=False, covers="CPU", processors=("cpu",))
    gpu = grid([2.0] * 10, channel="ina3221.GPU", total=False, covers="GPU", processors=("gpu",))
    both = grid([1.0] * 10, channel="ina3221.BOTH", total=False, covers="all cores", processors=("cpu", "gpu"))
    assert window.preferred([rest, cpu, gpu], "cpu") is cpu
    assert window.preferred([rest, cpu, gpu], "cuda") is gpu
    assert window.preferred([rest, cpu, both], "cuda") is both


def test_a_numbered_gpu_is_never_answered_by_another_one() -> None:
    busy = grid([150.0] * 10, channel="nvml.gpu0", processors=("gpu",), gpu_index=0)
    asked = grid([60.0] * 10, channel="nvml.gpu1", processors=("gpu",), gpu_index=1)
    cpu = grid([20.0] * 10, channel="rapl.cpu", processors=("cpu",))
    jetson = grid([9.0] * 10, channel="ina3221.VDD_GPU", total=False, processors=("gpu",))
    assert window.preferred([busy, asked], "cuda:1") is asked
    assert window.preferred([asked, busy], "cuda:0") is busy
    assert window.preferred([asked, busy], "cuda") is busy
    assert window.preferred([busy], "cuda:1") is None
    assert window.preferred([busy, cpu], "cuda:1") is cpu
    assert window.preferred([jetson], "cuda:0") is jetson


def test_a_trace_that_knows_no_power_stands_for_nothing() -> None:
    unknown = grid([math.nan] * 3, interval_means=True)
    assert window.preferred([unknown]) is None
    assert "0 values" in known(window.energy(unknown, of(0.0, 0.1)).reason)
