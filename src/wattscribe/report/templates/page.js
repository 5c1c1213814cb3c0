"use strict";
(() => {
  const figures = JSON.parse(document.getElementById("figure-data").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  const themed = (layout) => {
    const axis = { gridcolor: colour("--line"), zerolinecolor: colour("--line"), linecolor: colour("--line"), automargin: true };
    const base = {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: colour("--ink") },
      margin: { l: 56, r: 14, t: 12, b: 48 },
      hoverlabel: { namelength: -1, bgcolor: colour("--card"), bordercolor: colour("--line"), font: { color: colour("--ink") } },
      colorway: ["#0f8b8d", "#e07a1f", "#4b6bb8", "#b23a6f", "#6a8e3a", "#8a63b5", "#b08a2e", "#5d737e"],
      legend: { orientation: "h", x: 0, xanchor: "left", yref: "container", y: 0, yanchor: "bottom" },
      dragmode: window.matchMedia("(pointer: coarse)").matches ? false : "zoom",
      bargap: 0.28, autosize: true,
    };
    const merged = { ...base, ...layout, margin: { ...base.margin, ...layout.margin }, legend: { ...base.legend, ...layout.legend } };
    for (const key of ["xaxis", "yaxis", "xaxis2", "yaxis2", ...Object.keys(layout).filter((k) => /^[xy]axis\d*$/.test(k))]) {
      if (key === "xaxis" || key === "yaxis" || layout[key]) merged[key] = { ...axis, ...layout[key] };
    }
    return merged;
  };

  // --- names under bars: broken into lines where they fit, upright where they do not ----------------------------------
  const LETTER_PX = 7.4;
  const LINE_PX = 17;
  const broken = (text, width) => {
    const lines = [""];
    for (const part of text.split(/(?<=[-:/ _,])/)) {
      if (lines[lines.length - 1] && (lines[lines.length - 1] + part).length > width) lines.push("");
      lines[lines.length - 1] += part;
    }
    return lines;
  };
  const fitNames = (place, data, layout) => {
    const bars = data.filter((trace) => trace.type === "bar" && trace.x.every((name) => typeof name === "string"));
    const names = [...new Set(bars.flatMap((trace) => trace.x))];
    if (!names.length) return 0;
    const width = Math.floor((place.clientWidth - 80) / names.length / LETTER_PX);
    const lines = new Map(names.map((name) => [name, broken(name, width)]));
    const longest = Math.max(...[...lines.values()].flat().map((line) => line.length));
    const upright = longest > width;
    for (const key of ["xaxis", "xaxis2"]) if (layout[key]) layout[key].tickangle = upright ? -90 : 0;
    if (upright) return LETTER_PX * Math.max(...names.map((name) => name.length)) - 60;
    for (const trace of bars) trace.x = trace.x.map((name) => lines.get(name).join("<br>"));
    return LINE_PX * (Math.max(...[...lines.values()].map((each) => each.length)) - 1);
  };

  const draw = (id) => {
    const place = document.getElementById(id);
    const { data, layout } = figures[id];
    // Plotly writes into what it is given: hand it copies, so that the page can be drawn again in another theme.
    const copy = JSON.parse(JSON.stringify(data));
    for (const trace of copy) {
      if (trace.type === "bar" && trace.error_y) trace.error_y.color = colour("--soft");
    }
    const finished = themed(layout);
    place.dataset.height ??= place.clientHeight;
    const more = fitNames(place, copy, finished);
    place.style.height = `${Number(place.dataset.height) + Math.max(0, more)}px`;
    window.Plotly.react(place, copy, finished, { responsive: true, displaylogo: false, displayModeBar: false });
  };
  const shown = (id) => document.getElementById(id).closest("[hidden]") === null;
  const drawAll = () => Object.keys(figures).filter(shown).forEach(draw);

  // --- a table sorts by the column whose heading is pressed; rows without a value stay last -----------------------------
  const value = (row, column) => row.cells[column].dataset.sort;
  const compare = (a, b) => {
    const [x, y] = [Number(a), Number(b)];
    return Number.isNaN(x) || Number.isNaN(y) ? String(a).localeCompare(String(b)) : x - y;
  };
  const sort = (table, heading, column) => {
    const down = heading.getAttribute("aria-sort") === "ascending";
    for (const other of table.tHead.rows[0].cells) other.setAttribute("aria-sort", "none");
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    const body = table.tBodies[0];
    const rows = [...body.rows].sort((one, two) => {
      const [a, b] = [value(one, column), value(two, column)];
      if (a === undefined || b === undefined) return (a === undefined) - (b === undefined);
      return down ? compare(b, a) : compare(a, b);
    });
    body.append(...rows);
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    [...table.tHead.rows[0].cells].forEach((heading, column) => {
      heading.querySelector("button").addEventListener("click", () => sort(table, heading, column));
    });
  }

  // --- one figure of several -----------------------------------------------------------------------------------------------
  for (const choice of document.querySelectorAll(".choice")) {
    const select = choice.querySelector("select");
    const show = () => {
      for (const figure of choice.querySelectorAll("figure.chart")) {
        const plot = figure.querySelector(".plot");
        figure.hidden = plot.id !== select.value;
      }
      if (window.Plotly) draw(select.value);
    };
    select.addEventListener("change", show);
    show();
  }

  if (window.Plotly) {
    drawAll();
    dark.addEventListener("change", drawAll);
    window.matchMedia("(max-width: 600px)").addEventListener("change", drawAll);
  }
})();
