"""The facts that flow between rooms: frozen, keyword-only, SI units, None where a value is missing.

Everything here is plain data: `to_json` and `from_json` carry any record over a pipe or into the journal, so that a
Trial can later run on another machine without a change to recognizers or meters. Views and rules live elsewhere.
"""

from wattscribe.records.plain import finite, from_json, json_text, to_json
from wattscribe.records.power import Evidence, Interval, Origin, PowerTrace, Processor, Reading, Window
from wattscribe.records.recognizers import (
    MAX_BATCH,
    MAX_BEAM,
    MAX_THREADS,
    Counts,
    PrecisionAudit,
    ProviderShare,
    RecognizerSpec,
    StreamingLatency,
    Token,
    Transcript,
)
from wattscribe.records.runs import (
    AttachedRecording,
    Board,
    Heard,
    Marks,
    ModeCommand,
    Paced,
    Part,
    PowerMode,
    RunFacts,
    Trial,
    TrialFacts,
    TrialStatus,
    UtteranceResult,
)
from wattscribe.records.speech import Condition, Rejected, Utterance

__all__ = [
    "AttachedRecording", "Board", "Condition", "Counts", "Evidence", "Heard", "Interval", "MAX_BATCH", "MAX_BEAM",
    "MAX_THREADS", "Marks", "ModeCommand", "Origin", "Paced", "Part", "PowerMode", "PowerTrace", "Processor",
    "PrecisionAudit", "ProviderShare", "Reading", "RecognizerSpec", "Rejected", "RunFacts",
    "StreamingLatency", "Token", "Transcript", "Trial", "TrialFacts", "TrialStatus", "Utterance", "UtteranceResult",
    "Window", "finite", "from_json", "json_text", "to_json",
]  # fmt: skip
