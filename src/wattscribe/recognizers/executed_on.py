"""On which execution provider of onnxruntime a model's nodes ran, and how long: an accelerator that takes some of them leaves the
rest to the CPU without a word, and one that cannot be opened leaves everything."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from wattscribe.errors import InputError, RecognizerError
from wattscribe.records import ProviderShare, RecognizerSpec

_SUFFIX = "ExecutionProvider"
CPU, CUDA, OPENVINO = "CPU" + _SUFFIX, "CUDA" + _SUFFIX, "OpenVINO" + _SUFFIX
_GPUS = ("CUDA", "Tensorrt", "NvTensorRTRTX", "MIGraphX", "ROCM", "Dml", "WebGpu")
_ON_THE_CPU = ("CPU", "Xnnpack", "Dnnl", "ACL")
"""Providers that compute on the CPU with kernels of their own."""


def chosen(spec: RecognizerSpec) -> list[str | tuple[str, dict[str, str]]]:
    """The providers to open a session with, the CPU's last: as the option `provider` says, else as the device does.

    OpenVINO's is told the device, since it would take the CPU, and fails where there is none of that kind.
    Raises InputError for one that onnxruntime does not know, RecognizerError for one that this build of it has not: it would
    go on without a word.
    """
    import onnxruntime

    named = spec.options.get("provider", "")
    kind = spec.device.partition(":")[0]
    if not named:
        if kind == "npu":
            raise InputError("an NPU is reached by a provider", where=spec.name, fix="Add ?provider=QNN, OpenVINO, …")
        provider = CUDA if kind == "cuda" else CPU
    else:
        known = {each.removesuffix(_SUFFIX).lower(): each for each in onnxruntime.get_all_providers()}
        found = known.get(named.removesuffix(_SUFFIX).lower())
        if found is None:
            raise InputError(
                f"onnxruntime has no provider {named!r}",
                where=spec.name,
                fix="One of: " + ", ".join(each.removesuffix(_SUFFIX) for each in known.values()),
            )
        provider = found
    here = onnxruntime.get_available_providers()
    if provider not in here:
        raise RecognizerError(
            f"this onnxruntime is built without {provider.removesuffix(_SUFFIX)} and would run on the CPU",
            where=spec.name,
            fix=f"It has {', '.join(each.removesuffix(_SUFFIX) for each in here)}: install its build for your accelerator",
        )
    if provider == CPU:
        return [CPU]
    return [(provider, {"device_type": kind.upper()}) if provider == OPENVINO else provider, CPU]


def recording(options: Any) -> Any:
    """Session options under which a session says which provider was given which nodes."""
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    return options


def assigned(session: Any) -> Counter[str]:
    """Nodes of the graph by provider, before a provider makes one of many; the session's options were `recording`.

    Empty from an onnxruntime before 1.24, which does not tell.
    """
    counts: Counter[str] = Counter()
    tell = getattr(session, "get_provider_graph_assignment_info", list)
    for part in tell():
        counts[part.ep_name] += len(part.get_nodes())
    return counts


def shares_of(profiles: Iterable[Path], given: Mapping[str, int] | None = None) -> tuple[ProviderShare, ...]:
    """From the profiles that sessions with `enable_profiling` write: nodes and time of every provider, most time first.

    `given`: nodes by provider as `assigned` counts them; in a profile, a subgraph that a provider has taken is one node.
    """
    nodes: dict[tuple[Path, Any], str] = {}
    time_us: Counter[str] = Counter()
    for path in profiles:
        for event in json.loads(path.read_text()):
            about: Mapping[str, Any] = event.get("args", {})
            if event.get("cat") == "Node" and event.get("name", "").endswith("_kernel_time") and about.get("provider"):
                nodes[path, about.get("node_index", event["name"])] = about["provider"]
                time_us[about["provider"]] += event["dur"]
    counts, total_us = given or Counter(nodes.values()), sum(time_us.values())
    total = sum(counts.values())
    return tuple(
        ProviderShare(provider=name, nodes=counts.get(name, 0) / total, time=took / total_us if total_us else None)
        for name, took in time_us.most_common()
    )


def placed(files: Iterable[Path], provider: str) -> tuple[ProviderShare, ...]:
    """How many nodes this Python's onnxruntime would give to a provider, without running them; empty where it has it not."""
    import onnxruntime

    if provider not in onnxruntime.get_available_providers():
        return ()
    nodes: Counter[str] = Counter()
    for path in files:
        options = recording(onnxruntime.SessionOptions())
        options.log_severity_level = 4
        nodes += assigned(
            onnxruntime.InferenceSession(str(path), options, providers=list(dict.fromkeys((provider, CPU))))
        )
    total = sum(nodes.values())
    return tuple(ProviderShare(provider=name, nodes=count / total) for name, count in nodes.most_common())


def device_of(shares: Sequence[ProviderShare], asked: str) -> str:
    """The device that did most of the work, in the words of a spec: the one asked for where its kind is the same.

    OpenVINO's is the one that it was told, `chosen` has seen to that.
    """
    if not shares:
        return asked
    most = max(shares, key=lambda share: share.time if share.time is not None else share.nodes)
    name = most.provider.removesuffix(_SUFFIX)
    if most.provider == OPENVINO:
        return asked
    kind = "cpu" if name in _ON_THE_CPU else "cuda" if name in _GPUS else "npu"
    return asked if asked.partition(":")[0] == kind else kind


def in_words(shares: Sequence[ProviderShare]) -> str:
    """`executed on: QNN 12 % of the nodes, 3 % of the time; CPU 88 %, 97 %`."""
    parts = []
    for at, share in enumerate(shares):
        nodes, time = (" of the nodes", " of the time") if at == 0 else ("", "")
        took = "" if share.time is None else f", {100 * share.time:.0f} %{time}"
        parts.append(f"{share.provider.removesuffix(_SUFFIX)} {100 * share.nodes:.0f} %{nodes}{took}")
    return "executed on: " + "; ".join(parts)
