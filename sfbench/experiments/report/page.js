"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  // Okabe-Ito: distinguishable with every common colour vision; line dashes repeat the distinction without colour.
  const colours = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6BB1", "#777777"];
  const dashes = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];
  const mostLines = 8;
  const state = { study: 0, metric: "", axis: "", chosen: {} };

  const element = (tag, text, attributes = {}) => {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = text;
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    return made;
  };
  const number = (value) => {
    if (value === null || value === undefined) return "–";
    if (Number.isInteger(value) && Math.abs(value) < 1e7) return String(value);
    const size = Math.abs(value);
    return size >= 1e-3 && size < 1e5 ? String(Number(value.toPrecision(4)))
      : value.toExponential(3).replace(/\.?0+e/, "e");
  };
  const study = () => data.studies[state.study];
  const others = () => Object.keys(study().factors).filter((f) => f !== state.axis);
  const passes = (factors) =>
    others().every((f) => !(f in factors) || state.chosen[f].has(JSON.stringify(factors[f])));
  const label = (factors, names) =>
    names.filter((f) => study().factors[f].length > 1)
      .map((f) => (typeof factors[f] === "number" ? `${f} = ${factors[f]}` : factors[f])).join(", ");

  const fill = (select, values, wanted) => {
    select.replaceChildren(...values.map((v) => element("option", v, { value: v })));
    select.value = values.includes(wanted) ? wanted : values[0] ?? "";
    select.disabled = values.length === 0;
    return select.value;
  };

  const table = (place, caption, columns, rows, empty) => {
    if (rows.length === 0) {
      place.replaceChildren(element("p", empty));
      return;
    }
    const made = element("table");
    made.append(element("caption", caption));
    const head = element("tr");
    columns.forEach((c) => head.append(element("th", c, { scope: "col" })));
    const body = element("tbody");
    for (const row of rows) {
      const line = element("tr");
      row.forEach((cell, i) => {
        const [text, kind] = Array.isArray(cell) ? cell : [cell, ""];
        line.append(element(i ? "td" : "th", text, i ? { class: kind } : { scope: "row" }));
      });
      body.append(line);
    }
    made.append(element("thead"), body);
    made.tHead.append(head);
    place.replaceChildren(made);
  };

  const setUpStudy = () => {
    const s = study();
    state.metric = fill(byId("metric"), s.metrics, state.metric);
    state.axis = fill(byId("axis"), s.axes, state.axis);
    setUpFilters();
  };

  const setUpFilters = () => {
    const s = study();
    const boxes = [];
    state.chosen = {};
    let lines = others().reduce((n, f) => n * s.factors[f].length, 1);
    const numeric = (f) => s.factors[f].every((v) => typeof v === "number");
    for (const f of others()) state.chosen[f] = new Set(s.factors[f].map((v) => JSON.stringify(v)));
    for (const f of others().filter(numeric).reverse()) {  // too many lines to read: begin with one value
      if (lines <= mostLines) break;
      lines /= s.factors[f].length;
      state.chosen[f] = new Set([JSON.stringify(s.factors[f][0])]);
    }
    for (const f of others().filter((name) => s.factors[name].length > 1)) {
      const box = element("fieldset", undefined, { "data-factor": f });
      box.append(element("legend", f));
      for (const value of s.factors[f]) {
        const key = JSON.stringify(value);
        const tick = element("input", undefined, { type: "checkbox", value: key });
        tick.checked = state.chosen[f].has(key);
        tick.addEventListener("change", () => {
          tick.checked ? state.chosen[f].add(key) : state.chosen[f].delete(key);
          draw();
        });
        const line = element("label");
        line.append(tick, ` ${value}`);
        box.append(line);
      }
      boxes.push(box);
    }
    byId("filters").replaceChildren(...boxes);
  };

  const ink = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  const ticks = (values) => {  // labels of a logarithmic axis: 1, 2, 5 over few decades, powers of ten over many
    const positive = values.filter((v) => v > 0);
    const [low, high] = [Math.min(...positive), Math.max(...positive)];
    const steps = high < 300 * low ? [1, 2, 5] : [1];
    const found = [];
    for (let e = Math.floor(Math.log10(low)) - 1; e <= Math.ceil(Math.log10(high)) + 1; e += 1) {
      steps.forEach((step) => found.push(Number(`${step}e${e}`)));
    }
    return found;
  };

  const drawFigure = (points) => {
    const names = others();
    const groups = new Map();
    for (const p of points.filter((q) => state.metric in q.metrics)) {
      const key = JSON.stringify(names.map((f) => p.factors[f]));
      if (!groups.has(key)) groups.set(key, []);
      groups.get(key).push(p);
    }
    const bands = [];
    const traces = [];
    let i = 0;
    for (const group of groups.values()) {
      const colour = colours[i % colours.length];
      const dash = dashes[Math.floor(i / colours.length + i) % dashes.length];
      const name = label(group[0].factors, names) || state.metric;
      const x = group.map((p) => p.factors[state.axis] ?? 0);
      const value = (j) => group.map((p) => p.metrics[state.metric][j]);
      if (byId("band").checked && group.length > 1) {
        bands.push({
          x: [...x, ...[...x].reverse()], y: [...value(2), ...value(1).reverse()], fill: "toself", mode: "lines",
          line: { width: 0 }, fillcolor: colour + "26", hoverinfo: "skip", showlegend: false, legendgroup: name,
        });
      }
      traces.push({
        x, y: value(0), name, mode: "lines+markers", legendgroup: name, line: { color: colour, dash },
        marker: {
          color: colour, size: group.map((p) => (p.missing ? 12 : 8)),
          symbol: group.map((p) => (p.missing ? "x-open" : "circle")),
        },
        customdata: group.map((p) => [
          number(p.metrics[state.metric][1]), number(p.metrics[state.metric][2]), p.metrics[state.metric][3],
          p.missing ? `<br><b>${p.missing} missing</b>` : "", number(p.metrics[state.metric][0]),
        ]),
        hovertemplate:
          `${state.axis} = %{x}<br>median %{customdata[4]}<br>10–90 % %{customdata[0]} – %{customdata[1]}` +
          "<br>%{customdata[2]} results%{customdata[3]}",
      });
      i += 1;
    }
    const positions = [...new Set(traces.flatMap((t) => t.x))].filter((v) => v > 0);
    const heights = [...bands, ...traces].flatMap((t) => t.y).filter((v) => v > 0);
    const kind = byId("log").checked ? "log" : "linear";
    const axis = (title, values) => ({
      title: { text: title }, type: kind,
      ...(kind === "log" && values.length ? { tickvals: values, ticktext: values.map(number) } : {}), gridcolor: ink("--line"), linecolor: ink("--quiet"), zeroline: false,
      automargin: true,
    });
    const layout = {
      paper_bgcolor: ink("--paper"), plot_bgcolor: ink("--paper"), font: { color: ink("--ink"), size: 13 },
      xaxis: axis(state.axis, positions.length <= 12 ? positions : ticks(positions)),
      yaxis: axis(state.metric, heights.length ? ticks(heights) : []), margin: { t: 20, r: 20 }, height: 460,
      legend: { orientation: "h", y: -0.2 }, hoverlabel: { align: "left" },
    };
    Plotly.react("figure", [...bands, ...traces], layout, {
      responsive: true, displaylogo: false, modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
    });
    byId("figure").setAttribute(
      "aria-label", `${state.metric} against ${state.axis}: ${groups.size} lines; the numbers follow in a table`);
    return groups.size;
  };

  const draw = () => {
    const s = study();
    const points = s.points.filter((p) => passes(p.factors));
    byId("figure-title").textContent = state.axis ? `${state.metric} against ${state.axis}` : state.metric;
    const lines = drawFigure(points);
    const marked = points.filter((p) => p.missing).length;
    const without = s.left_out[state.metric] ? `; ${s.left_out[state.metric]} rows have no ${state.metric}` : "";
    byId("caption").textContent =
      `${s.caption}${s.missing.length ? ` (${marked} points drawn as crosses lack some)` : ""}. ` +
      `${lines} lines, ${points.length} points: medians over repetitions${without}. Algorithm version ${s.version}.`;
    const names = Object.keys(s.factors);
    table(byId("numbers"), `${state.metric}: median, 10 % and 90 % quantile`,
      [...names, "median", "10 %", "90 %", "results", "missing"],
      points.filter((p) => state.metric in p.metrics).map((p) => {
        const [middle, low, high, n] = p.metrics[state.metric];
        return [...names.map((f) => String(p.factors[f])), number(middle), number(low), number(high), String(n),
          [String(p.missing), p.missing ? "bad" : ""]];
      }), "No point passes the filters.");
    const slopes = s.slopes.filter((t) => t.axis === state.axis && passes(t.factors));
    table(byId("slopes"), `log-log slopes against ${state.axis} with 95 % intervals over repetitions`,
      ["result", "of", "slope", "95 % interval", "repetitions", "left out, incomplete"],
      slopes.map((t) => [t.metric, label(t.factors, others()) || "all", number(t.slope),
        `[${number(t.low)}, ${number(t.high)}]`, String(t.seeds), [String(t.left_out), t.left_out ? "bad" : ""]]),
      "A slope needs three points over a factor of 8, and two repetitions.");
    const worded = names.filter((f) => s.factors[f].some((v) => typeof v !== "number"));
    const by = (kind, columns, row) => {
      const sums = new Map();
      for (const p of points) {
        for (const [name, entry] of Object.entries(p[kind])) {
          const key = JSON.stringify([name, ...worded.map((f) => p.factors[f])]);
          const old = sums.get(key);
          sums.set(key, old ? columns(old, entry) : entry);
        }
      }
      return [...sums].map(([key, entry]) => {
        const [name, ...values] = JSON.parse(key);
        return [name, values.join(", ") || "all", ...row(entry)];
      });
    };
    table(byId("bounds"), "checks of every bound in every cell shown",
      ["bound", "of", "checks", "violations"],
      by("bounds", (a, b) => [a[0] + b[0], a[1] + b[1]],
        ([n, bad]) => [String(n), bad ? [String(bad), "bad"] : ["0", "good"]]),
      "This study checks no bounds.");
    table(byId("costs"), "seconds", ["time", "of", "results", "mean", "largest", "sum"],
      by("costs", (a, b) => [a[0] + b[0], a[1] + b[1], Math.max(a[2], b[2])],
        ([n, sum, most]) => [String(n), number(sum / n), number(most), number(sum)]),
      "The cells of this study record no times of their own.");
    const spent = s.cells.filter((c) => passes(c.factors));
    const total = (label, value, chosen) => {
      const n = chosen.reduce((a, c) => a + c.cells, 0);
      const sum = chosen.reduce((a, c) => a + c.sum, 0);
      return [label, value, String(n), number(sum / n), number(Math.max(...chosen.map((c) => c.largest))), number(sum)];
    };
    const rows = Object.keys(spent[0]?.factors ?? {}).filter((f) => s.factors[f].length > 1).flatMap((f) =>
      s.factors[f].map((v) => [v, spent.filter((c) => c.factors[f] === v)]).filter(([, chosen]) => chosen.length)
        .map(([v, chosen]) => total(f, String(v), chosen)));
    table(byId("cells"), "seconds of whole cells, measured by the engine, by each factor",
      ["factor", "value", "cells", "mean", "largest", "sum"],
      spent.length ? [total("all", "", spent), ...rows] : [], "No cell passes the filters.");
    const fields = s.missing.length ? Object.keys(s.missing[0]) : [];
    const shown = s.missing.slice(0, 200);
    table(byId("missing"),
      `${s.missing.length} of ${s.total} cells have no result${shown.length < s.missing.length ? "; the first 200" : ""}`,
      fields, shown.map((spec) => fields.map((f) => JSON.stringify(spec[f]))), `None: all ${s.total} cells are there.`);
  };

  const setUpProvenance = () => {
    const parts = [];
    for (const [name, value] of Object.entries(data.provenance)) {
      const box = element("details");
      box.append(element("summary", name), element("pre", JSON.stringify(value, null, 1), { tabindex: "0" }));
      box.open = name === "results";
      parts.push(box);
    }
    byId("provenance").replaceChildren(...parts);
  };

  const setTheme = (theme) => {
    document.documentElement.dataset.theme = theme;
    byId("theme").textContent = theme === "dark" ? "Light" : "Dark";
    byId("theme").setAttribute("aria-pressed", String(theme === "dark"));
    draw();
  };

  fill(byId("study"), data.studies.map((s) => s.name), "");
  byId("study").addEventListener("change", () => {
    state.study = byId("study").selectedIndex;
    setUpStudy();
    draw();
  });
  byId("metric").addEventListener("change", () => { state.metric = byId("metric").value; draw(); });
  byId("axis").addEventListener("change", () => { state.axis = byId("axis").value; setUpFilters(); draw(); });
  byId("log").addEventListener("change", draw);
  byId("band").addEventListener("change", draw);
  byId("theme").addEventListener("click", () =>
    setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
  setUpStudy();
  setUpProvenance();
  setTheme(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
})();
