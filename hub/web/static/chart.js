// Turns the drawn charts into ones that can be read point by point, with the mouse or the arrow keys.
"use strict";

(() => {
  const DASHES = [[], [7, 4], [2, 4], [9, 4, 2, 4]];
  const HEIGHT = 300;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const utc = (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC");

  function colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  }

  function bytes(value, suffix) {
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let index = 0;
    while (Math.abs(value) >= 1024 && index < units.length - 1) { value /= 1024; index += 1; }
    return `${Number(value.toPrecision(4))} ${units[index]}${suffix}`;
  }

  function quantity(value, unit) {
    if (value === null || value === undefined) return "–";
    if (unit === "By" || unit === "By/s") return bytes(value, unit.slice(2));
    if (unit === "1") return `${Number((value * 100).toPrecision(3))} %`;
    const short = Math.abs(value) >= 1e4 ? value.toLocaleString("en", { notation: "compact", maximumSignificantDigits: 3 }) : String(Number(value.toPrecision(4)));
    return `${short} ${unit.replace(/[{}]/g, "")}`.trim();
  }

  function axis(changes) {
    const line = { stroke: colour("--line"), width: 1 };
    return { stroke: colour("--soft"), font: "12px system-ui, sans-serif", grid: line, ticks: line, ...changes };
  }

  function timeMark(seconds, step) {
    const text = new Date(seconds * 1000).toISOString();
    if (step >= 86400 || seconds % 86400 === 0) return text.slice(5, 10);
    return text.slice(11, step < 60 ? 19 : 16);
  }

  function options(data, width) {
    const series = data.labels.map((label, index) => ({
      label,
      stroke: colour(`--c${index % 8}`),
      dash: DASHES[index % 4],
      width: 1.8,
      points: { show: data.columns[0].length < 3 },
    }));
    const binary = data.unit.startsWith("By");
    return {
      width,
      height: HEIGHT,
      tzDate: utc,
      series: [{}, ...series],
      axes: [
        axis({ size: 34, grid: { show: false }, values: (_, marks, _axis, _space, step) => marks.map((mark) => timeMark(mark, step)) }),
        axis({
          size: (_, marks) => Math.max(56, 20 + 7 * Math.max(0, ...(marks || []).map((mark) => mark.length))),
          values: (_, marks) => marks.map((mark) => quantity(mark, data.unit)),
          ...(binary ? { incrs: Array.from({ length: 60 }, (_, power) => 2 ** (power - 4)) } : {}),
        }),
      ],
      legend: { show: false },
      cursor: { drag: { x: false, y: false }, points: { size: 7 } },
    };
  }

  function tell(place, plot, data) {
    const index = plot.cursor.idx;
    if (index === null || index === undefined) return;
    const time = new Date(data.columns[0][index] * 1000).toISOString().slice(0, 19).replace("T", " ");
    const values = data.labels.map((label, number) => `${label} ${quantity(data.columns[number + 1][index], data.unit)}`);
    place.textContent = `${time} UTC: ${values.join(", ")}`;
  }

  function moveByKeys(frame, plot, data) {
    frame.addEventListener("keydown", (event) => {
      const last = data.columns[0].length - 1;
      const index = plot.cursor.idx ?? last;
      const next = { ArrowLeft: index - 1, ArrowRight: index + 1, Home: 0, End: last }[event.key];
      if (next === undefined) return;
      event.preventDefault();
      const at = Math.min(last, Math.max(0, next));
      plot.setCursor({ left: plot.valToPos(data.columns[0][at], "x"), top: plot.bbox.height / devicePixelRatio / 2 });
    });
  }

  function draw(figure) {
    const data = JSON.parse(figure.dataset.chart);
    const frame = figure.querySelector(".plot");
    const help = Object.assign(document.createElement("p"), { className: "chart-help", textContent: "Point at the chart, or focus it and use the arrow keys." });
    help.setAttribute("aria-live", "polite");
    frame.tabIndex = 0;
    frame.setAttribute("role", "group");
    frame.setAttribute("aria-label", `Chart of ${figure.dataset.title}. The arrow keys go from point to point.`);
    frame.after(help);
    const inside = () => frame.clientWidth - 26;
    let plot = null;
    const show = () => {
      if (plot) plot.destroy();
      frame.replaceChildren();
      plot = new uPlot({ ...options(data, inside()), hooks: { setCursor: [(self) => tell(help, self, data)] } }, data.columns, frame);
    };
    show();
    moveByKeys(frame, { get cursor() { return plot.cursor; }, get bbox() { return plot.bbox; }, valToPos: (...given) => plot.valToPos(...given), setCursor: (place) => plot.setCursor(place) }, data);
    new ResizeObserver(() => plot.setSize({ width: inside(), height: HEIGHT })).observe(frame);
    dark.addEventListener("change", show);
  }

  for (const figure of document.querySelectorAll("[data-chart]")) draw(figure);
})();
