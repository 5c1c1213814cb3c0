"""Intended misuse of the functions: mypy must find every line that is marked, and no other (test_misuse.py)."""

import wattscribe
from wattscribe import api

# Mistyped keywords, and those of earlier versions.
wattscribe.compress("model", "out", data=["dev"], max_wer_increse_points=3)  # wrong
wattscribe.compress("model", "out", data=["dev"], max_wer_increase=0.2)  # wrong
wattscribe.compare("base", "new", max_error_increase_points=0.2)  # wrong
wattscribe.compare("base", "new", max_wer_increase=0.002)  # wrong
wattscribe.profile("model", tokens_per_second=3)  # wrong
wattscribe.bench("study.toml", "out", overwite=True)  # wrong
wattscribe.report("run", formt="md")  # wrong
wattscribe.report("run", max_wer=0.05)  # wrong
wattscribe.train("reference.toml", "out", step=3)  # wrong
wattscribe.export("checkpoint", "out", precision=["int8"])  # wrong
wattscribe.transcribe("reference", ["a.wav"], thread=2)  # wrong
wattscribe.attach("run", "power.csv", cover="board")  # wrong
wattscribe.calibrate(["run"], sed=1)  # wrong
wattscribe.data("librispeech:dev-clean", output="data")  # wrong
wattscribe.measure(idle=2.0)  # wrong
wattscribe.measure(rate_hz=20.0)  # wrong
wattscribe.meters(path="/")  # wrong
wattscribe.devices(name="phone")  # wrong
api.compress("model", "out", data=["dev"], max_wer_increase=0.2)  # wrong

# Values that are none of those allowed.
wattscribe.report("run", format="pdf")  # wrong
wattscribe.compare("base", "new", metric="ter")  # wrong
wattscribe.compress("model", "out", data=["dev"], strategy="greedy")  # wrong
wattscribe.profile("model", decoding="beam")  # wrong
wattscribe.profile("model", placement="layer")  # wrong
wattscribe.attach("run", "power.csv", by="eye")  # wrong
wattscribe.compress("model", "out", data=["dev"], max_wer_increase_points="0.2%")  # wrong
wattscribe.compress("model", "out")  # wrong
wattscribe.bench(3, "out")  # wrong
wattscribe.bench("study.toml", "out", say=3)  # wrong
wattscribe.no_such_verb()  # wrong

# What comes back is not what is taken from it.
wattscribe.report("run").startswith("#")  # wrong
wattscribe.report("run", format="json").exists()  # wrong
wattscribe.report("run", "rows.json", format="json").startswith("{")  # wrong
wattscribe.devices().title  # wrong
wattscribe.devices("phone").append("x")  # wrong
wattscribe.bench("study.toml", "out").trial  # wrong
wattscribe.compare("base", "new").accept  # wrong
with wattscribe.measure() as m:
    pass
m.joules  # wrong
m.energy_j + 1.0  # wrong

# Right uses, in which nothing may be found.
wattscribe.report("run").exists()
wattscribe.report("run", format="json").splitlines()
wattscribe.report("run", "rows.json", format="json").exists()
wattscribe.devices("phone").name.upper()
wattscribe.compress("model", "out", data=["dev"], max_wer_increase_points=0.2, say=print)
wattscribe.bench({"models": ["reference"], "data": ["bundled"]}, "out", say=print)
