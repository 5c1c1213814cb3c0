"use strict";
(() => {
  const PAUSE_MS = 2000;
  const line = document.getElementById("watch");
  const look = async () => {
    try {
      const answer = await fetch("/state", { cache: "no-store" });
      if (answer.ok) {
        const state = await answer.json();
        line.textContent = state.text;
        if (state.version !== line.dataset.version) { window.location.reload(); return; }
      } else { line.textContent = await answer.text(); }
    } catch { line.textContent = "This run is no longer served: what is shown here is its last state."; }
    window.setTimeout(look, PAUSE_MS);
  };
  window.setTimeout(look, PAUSE_MS);
})();
