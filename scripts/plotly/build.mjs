// Builds src/wattscribe/pages/plotly/: plotly.js with four kinds of traces, 1.2 MB instead of 4.8, and the licences of what is in it.
//
//     cd scripts/plotly && npm install --ignore-scripts && npm run build
//
// The same versions give the same bytes (tests/pages/test_plotly.py has their sum). `scatter` is always in plotly's core; whoever draws
// another kind adds it to TRACES here and to `TRACES` in pages/page.py.
import { build } from "esbuild";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const TRACES = ["bar", "heatmap", "waterfall"];
const here = fileURLToPath(new URL(".", import.meta.url));
const target = `${here}../../src/wattscribe/pages/plotly/`;
const pinned = JSON.parse(readFileSync(`${here}package.json`, "utf8")).dependencies;

const entry = `const Plotly = require("plotly.js/lib/core");
Plotly.register([${TRACES.map((name) => `require("plotly.js/lib/${name}")`).join(", ")}]);
module.exports = Plotly;`;
const done = await build({
  stdin: { contents: entry, resolveDir: here, sourcefile: "entry.js" },
  bundle: true, minify: true, metafile: true, write: false, legalComments: "none", charset: "ascii",
  outfile: "plotly.min.js", format: "iife", globalName: "Plotly", target: "es2016",
  // As plotly.js builds its own files; maps, whose style sheet its registry names, are not in this one.
  define: { global: "window", "define.amd": "false" },
  loader: { ".css": "empty" },
});

const inside = new Set();
for (const path of Object.keys(Object.values(done.metafile.outputs)[0].inputs)) {
  const at = path.lastIndexOf("node_modules/");
  if (at >= 0 && !path.endsWith(".css")) inside.add(path.slice(0, at + 13) + path.slice(at + 13).match(/^(@[^/]+\/)?[^/]+/)[0]);
}
const licences = [...inside].sort().map((folder) => {
  const { name, version, license, author } = JSON.parse(readFileSync(`${here}${folder}/package.json`, "utf8"));
  if (pinned[name] !== version) throw new Error(`${name} ${version} is in the file; package.json says ${pinned[name]}`);
  const file = readdirSync(`${here}${folder}`).find((each) => /^licen[cs]e/i.test(each));
  const text = file ? readFileSync(`${here}${folder}/${file}`, "utf8") : `By ${author?.name ?? author}. Its package states the licence by name alone.`;
  return `${name} ${version} (${license})\n\n${text.replaceAll("\r", "").trim()}\n`;
});
const rule = `\n${"-".repeat(78)}\n\n`;
const banner = `/*! plotly.js v${pinned["plotly.js"]} (scatter, ${TRACES.join(", ")}). Copyright 2012-2026 Plotly, Inc., MIT.
Inside, under MIT, BSD-3-Clause and Zlib: ${licences.map((text) => text.split(" (")[0]).join(", ")}.
The licences: wattscribe/pages/plotly/LICENSES.txt */
`;
writeFileSync(`${target}plotly.min.js`, banner + done.outputFiles.find((file) => file.path.endsWith(".js")).text);
writeFileSync(`${target}LICENSES.txt`, `What plotly.min.js holds, and under which licences.${rule}${licences.join(rule)}`);
