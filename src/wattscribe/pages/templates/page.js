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
  const named = (data) => data.filter((trace) => trace.type === "bar" && trace.x.every((name) => typeof name === "string"));
  /** A figure with more names than its room has columns of text is wider than its room, which then scrolls. */
  const widthFor = (place, data, layout) => Math.max(
    place.clientWidth, layout.meta?.least_px ?? 0, LINE_PX * new Set(named(data).flatMap((trace) => trace.x)).size + 80);
  const fitNames = (wide, data, layout) => {
    const bars = named(data);
    const names = [...new Set(bars.flatMap((trace) => trace.x))];
    if (!names.length) return 0;
    const width = Math.floor((wide - 80) / names.length / LETTER_PX);
    const lines = new Map(names.map((name) => [name, broken(name, width)]));
    const longest = Math.max(...[...lines.values()].flat().map((line) => line.length));
    const upright = longest > width;
    for (const key of ["xaxis", "xaxis2"]) if (layout[key]) Object.assign(layout[key], { tickangle: upright ? -90 : 0, dtick: 1 });
    if (upright) return LETTER_PX * Math.max(...names.map((name) => name.length)) - 60;
    for (const trace of bars) trace.x = trace.x.map((name) => lines.get(name).join("<br>"));
    return LINE_PX * (Math.max(...[...lines.values()].map((each) => each.length)) - 1);
  };

  // --- names beside points: never on a point, on another name or outside; with a line to what they name ------------------
  const NAME_PX = 11;
  const GAPS_PX = [3, 10, 20, 34, 52, 74, 100, 130, 164, 200];
  const DIRECTIONS = 16;
  const NARROW_PX = 480;
  const pen = document.createElement("canvas").getContext("2d");
  const roomOf = (name) => {
    const lines = name.split("<br>");
    pen.font = `${NAME_PX}px ${getComputedStyle(document.body).fontFamily}`;
    return { w: Math.max(...lines.map((line) => pen.measureText(line).width)) + 6, h: 1.3 * NAME_PX * lines.length + 4 };
  };
  const overlap = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
  const distance = (box, dot) =>
    Math.hypot(Math.max(box.left - dot.x, 0, dot.x - box.right), Math.max(box.top - dot.y, 0, dot.y - box.bottom)) - dot.r;
  const crosses = (from, to, box) => [1, 2, 3, 4, 5, 6, 7].some((part) => {
    const [x, y] = [from.x + (part / 8) * (to.x - from.x), from.y + (part / 8) * (to.y - from.y)];
    return x > box.left && x < box.right && y > box.top && y < box.bottom;
  });
  const boxOf = (dot) => ({ left: dot.x - dot.r, right: dot.x + dot.r, top: dot.y - dot.r, bottom: dot.y + dot.r });
  const dotsOf = (place) => {
    const { xaxis, yaxis } = place._fullLayout;
    const on = (value, axis) => (axis.type === "log" ? Math.log10(value) : value);
    const all = place._fullData.filter((trace) => trace.visible === true && trace.meta?.names).flatMap((trace) =>
      trace.meta.names.map((name, i) => ({
        name, full: trace.meta.full[i], atX: on(trace.x[i], xaxis), atY: on(trace.y[i], yaxis),
        x: xaxis.d2p(trace.x[i]), y: yaxis.d2p(trace.y[i]),
        r: (Array.isArray(trace.marker.size) ? trace.marker.size[i] : trace.marker.size) / 2 + 1,
      })));
    return all.filter((dot) => dot.x >= 0 && dot.y >= 0 && dot.x <= xaxis._length && dot.y <= yaxis._length);
  };
  /** Intervals and steps of a front as thin boxes: names keep off them where they can. */
  const linesOf = (place) => {
    const { xaxis, yaxis } = place._fullLayout;
    const thin = (x1, x2, y1, y2) => {
      const [[left, right], [top, bottom]] = [[x1, x2].map(xaxis.d2p), [y1, y2].map(yaxis.d2p)]
        .map((ends) => [Math.min(...ends) - 1, Math.max(...ends) + 1]);
      return { left, right, top, bottom };
    };
    return place._fullData.filter((trace) => trace.visible === true && trace.meta?.names).flatMap((trace) =>
      trace.x.flatMap((x, i) => {
        const [y, found] = [trace.y[i], []];
        const [across, up] = [trace.error_x, trace.error_y];
        if (across?.visible) found.push(thin(x - across.arrayminus[i], x + across.array[i], y, y));
        if (up?.visible) found.push(thin(x, x, y - up.arrayminus[i], y + up.array[i]));
        if (trace.line?.shape === "hv" && i > 0) {
          found.push(thin(trace.x[i - 1], x, trace.y[i - 1], trace.y[i - 1]), thin(x, x, trace.y[i - 1], y));
        }
        return found;
      }));
  };
  /** The best free box for a dot's name, or null. `taken`: boxes with the dots that they name. */
  const freeBox = (dot, dots, lines, taken, width, height) => {
    const { w, h } = roomOf(dot.name);
    const side = (along) => (Math.abs(along) < 0.3 ? 0 : Math.sign(along) / 2);
    let best = null;
    for (const gap of GAPS_PX) for (let turn = 0; turn < DIRECTIONS; turn += 1) {
      const [c, s] = [Math.cos((2 * Math.PI * turn) / DIRECTIONS), Math.sin((2 * Math.PI * turn) / DIRECTIONS)];
      const [x, y] = [dot.x + c * (dot.r + gap) + side(c) * w, dot.y + s * (dot.r + gap) + side(s) * h];
      const box = { x, y, left: x - w / 2, right: x + w / 2, top: y - h / 2, bottom: y + h / 2 };
      if (box.left < 0 || box.top < 0 || box.right > width || box.bottom > height) continue;
      if (taken.some((other) => overlap(box, other)) || dots.some((other) => distance(box, other) < 1)) continue;
      const others = dots.filter((other) => other !== dot);
      const cost = gap + 12 * lines.filter((other) => overlap(box, other)).length
        + 40 * taken.filter((other) => crosses(dot, box, other) || crosses(other.dot, other, box)).length
        + 15 * others.filter((other) => crosses(dot, box, boxOf(other)) || distance(box, other) < gap + 4).length;
      if (best === null || cost < best.cost) best = { ...box, cost, dot };
    }
    return best;
  };
  const naming = new Set();
  const namePoints = async (place) => {
    if (naming.has(place) || !place._fullData?.some((trace) => trace.meta?.names)) return;
    const [dots, lines] = [dotsOf(place), linesOf(place)];
    const near = (dot) => dots.filter((other) => Math.hypot(other.x - dot.x, other.y - dot.y) < 90).length;
    const { xaxis, yaxis } = place._fullLayout;
    const [taken, left] = [[], []];
    for (const dot of dots.filter((each) => each.name).sort((a, b) => near(b) - near(a))) {
      const box = freeBox(dot, dots, lines, taken, xaxis._length, yaxis._length);
      if (box) taken.push(box); else left.push(dot.name.replaceAll("<br>", ""));
    }
    const annotations = taken.map((box) => ({
      text: box.dot.name, hovertext: box.dot.full, x: box.dot.atX, y: box.dot.atY, xanchor: "center", yanchor: "middle",
      ax: box.x - box.dot.x, ay: box.y - box.dot.y, standoff: box.dot.r, arrowhead: 0, arrowwidth: 1,
      arrowcolor: colour("--soft"), font: { size: NAME_PX },
    }));
    const rest = place.parentElement.querySelector(".unnamed");
    rest.textContent = left.length ? `Not named for want of room: ${left.join(", ")}.` : "";
    naming.add(place);
    await window.Plotly.relayout(place, { annotations });
    naming.delete(place);
  };

  const draw = async (id) => {
    const place = document.getElementById(id);
    const { data, layout } = figures[id];
    // Plotly writes into what it is given: hand it copies, so that the page can be drawn again in another theme.
    const copy = JSON.parse(JSON.stringify(data));
    const line = Math.floor((place.clientWidth - 70) / LETTER_PX);
    for (const trace of copy) {
      if (trace.type === "bar" && trace.error_y) trace.error_y.color = colour("--soft");
      if (trace.name) trace.name = broken(trace.name, line).join("<br>");
      if (trace.meta?.names && Array.isArray(trace.marker.size) && place.clientWidth < NARROW_PX) {
        trace.marker.size = trace.marker.size.map((size) => 0.6 * size);
      }
    }
    const finished = themed(layout);
    finished.width = widthFor(place, copy, layout);
    place.dataset.height ??= place.clientHeight;
    const more = fitNames(finished.width, copy, finished);
    place.style.height = `${Number(place.dataset.height) + Math.max(0, more)}px`;
    const first = !place.classList.contains("js-plotly-plot");
    await window.Plotly.react(place, copy, finished, { displaylogo: false, displayModeBar: false });
    if (first) for (const event of ["plotly_relayout", "plotly_restyle"]) place.on(event, () => namePoints(place));
    await namePoints(place);
  };
  const shown = (id) => document.getElementById(id).closest("[hidden]") === null;
  const drawn = new Map();
  const busy = new Set();
  /** Drawn anew as soon as its width is another one, names and all; Plotly's own answer comes later, and is of the size alone. */
  const keepUp = async (id) => {
    if (busy.has(id)) return;
    const place = document.getElementById(id);
    busy.add(id);
    try {
      while (shown(id) && drawn.get(id) !== place.clientWidth) {
        drawn.set(id, place.clientWidth);
        await draw(id);
      }
    } finally { busy.delete(id); }
  };
  const drawAll = () => { drawn.clear(); Object.keys(figures).forEach(keepUp); };

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
    fold(table);
  };
  // --- long tables and lists show their beginning until all of it is asked for ------------------------------------------
  const ROWS_SHOWN = 60;
  const fold = (table) => {
    const button = table.parentElement.nextElementSibling;
    if (!button?.matches(".more")) return;
    const open = button.getAttribute("aria-expanded") === "true";
    [...table.tBodies[0].rows].forEach((row, at) => { row.hidden = !open && at >= ROWS_SHOWN; });
    button.textContent = open ? `Show the first ${ROWS_SHOWN} rows` : `Show all ${table.tBodies[0].rows.length} rows`;
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    if (table.tBodies[0].rows.length <= ROWS_SHOWN) continue;
    const button = Object.assign(document.createElement("button"), { type: "button", className: "more" });
    button.setAttribute("aria-expanded", "false");
    button.addEventListener("click", () => {
      button.setAttribute("aria-expanded", String(button.getAttribute("aria-expanded") !== "true"));
      fold(table);
    });
    table.parentElement.after(button);
    fold(table);
  }

  // --- worst utterances, a page at a time ------------------------------------------------------------------------------
  for (const list of document.querySelectorAll(".pages")) {
    const each = [...list.querySelectorAll(":scope > .aligned")];
    const size = Number(list.dataset.size);
    if (each.length <= size) continue;
    const turn = Object.assign(document.createElement("p"), { className: "turn" });
    const label = document.createElement("span");
    label.setAttribute("role", "status");
    const press = (text, by) => {
      const button = Object.assign(document.createElement("button"), { type: "button", className: "more", textContent: text });
      button.addEventListener("click", () => show(first + by * size));
      return button;
    };
    const [back, on] = [press("Previous", -1), press("Next", 1)];
    let first = 0;
    const show = (from) => {
      first = from;
      each.forEach((one, at) => { one.hidden = at < first || at >= first + size; });
      label.textContent = ` ${first + 1} to ${Math.min(first + size, each.length)} of ${each.length} `;
      back.disabled = first === 0;
      on.disabled = first + size >= each.length;
    };
    turn.append(back, label, on);
    list.prepend(turn);
    show(0);
  }

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
      if (window.Plotly) keepUp(select.value);
    };
    select.addEventListener("change", show);
    show();
  }

  if (window.Plotly) {
    drawAll();
    dark.addEventListener("change", drawAll);
    const sizes = new ResizeObserver((entries) => entries.forEach((entry) => keepUp(entry.target.id)));
    for (const id of Object.keys(figures)) sizes.observe(document.getElementById(id));
  }
})();
