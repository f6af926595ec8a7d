"use strict";
(() => {
  const DASHES = ["solid", "dot", "dash", "dashdot", "longdash", "longdashdot", "2px,6px", "12px,3px,2px,3px,2px,3px"];
  const SYMBOLS = ["circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "triangle-left", "triangle-right"];
  const COLOURS = 8;
  const { charts, runs } = JSON.parse(document.getElementById("data").textContent);
  const off = { dataset: new Set(), run: new Set() };
  const drawn = new Set();

  // A colour of the current theme, as the browser resolves var() and light-dark().
  const probe = document.body.appendChild(document.createElement("i"));
  probe.hidden = true;
  const colour = (name) => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  // Plotly interprets text as markup.
  const literally = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  const ofDataset = (number) => colour(`d${number % COLOURS}`);

  const isOn = (datasets, runs) => !datasets.some((n) => off.dataset.has(n)) && !runs.some((n) => off.run.has(n));

  function trace(curve, chart) {
    // For a pair of data sets, the line has the colour of one and the points that of the other. Without data sets: the text colour.
    const [first, second] = [curve.datasets[0], curve.datasets.at(-1)];
    const line = curve.datasets.length ? ofDataset(second) : colour("text");
    const isPair = curve.datasets.length > 1;
    const few = curve.x.length <= 12;
    const isOneOfMany = runs.length > 2;
    return {
      type: "scatter",
      mode: few || isPair || isOneOfMany || second >= COLOURS ? "lines+markers" : "lines",
      name: literally(curve.name),
      x: curve.x,
      y: curve.y,
      visible: isOn(curve.datasets, [curve.run]),
      line: { color: line, dash: DASHES[curve.run % DASHES.length], width: 2, shape: chart.steps ? "hv" : "linear" },
      marker: { symbol: SYMBOLS[curve.run % SYMBOLS.length], color: isPair ? ofDataset(first) : line, size: few ? 7 : 6, maxdisplayed: few ? 0 : 14 },
      hovertemplate: `%{y:${chart.format === ".0%" ? ".1%" : ".4~g"}}`,
    };
  }

  function layout(chart) {
    const [text, muted, grid] = [colour("text"), colour("muted"), colour("grid")];
    const axis = { gridcolor: grid, linecolor: grid, zeroline: false, tickfont: { color: muted }, automargin: true, fixedrange: coarse };
    return {
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: text },
      margin: { l: 48, r: 14, t: 10, b: 36 },
      showlegend: false,
      hovermode: "x unified",
      hoverlabel: { bgcolor: colour("page"), bordercolor: colour("line"), font: { color: text, size: 12 }, namelength: 40 },
      dragmode: coarse ? false : "zoom",
      xaxis: { ...axis, title: { text: "iteration", font: { size: 11, color: muted }, standoff: 4 }, rangemode: "tozero", nticks: 7, hoverformat: ",d" },
      yaxis: {
        ...axis,
        title: { text: chart.y, font: { size: 11, color: muted }, standoff: 4 },
        tickformat: chart.format === "~g" ? "" : chart.format,
        exponentformat: "power",
        nticks: 6,
        // Around a single value, Plotly's range would reach below 0.
        rangemode: chart.from_zero ? "tozero" : chart.traces.every((curve) => curve.y.every((y) => y >= 0)) ? "nonnegative" : "normal",
        ...(chart.range ? { range: [chart.range[0] - 0.03, chart.range[1] + 0.03] } : {}),
        zeroline: chart.range?.[0] < 0,
        zerolinecolor: muted,
      },
    };
  }
  // On a touch screen, dragging scrolls the page.
  const coarse = matchMedia("(pointer: coarse)").matches;

  function draw(figure) {
    const chart = charts[figure.dataset.chart];
    // Plotly's own buttons are off: they hide data, and one of them would send it to a server.
    const config = { responsive: true, displayModeBar: false };
    Plotly.react(figure.querySelector(".plot"), chart.traces.map((curve) => trace(curve, chart)), layout(chart), config);
    drawn.add(figure);
  }
  const redraw = () => drawn.forEach(draw);

  // A chart is drawn when it comes near the viewport, so a page with a hundred charts opens as fast as a page with one.
  const figures = [...document.querySelectorAll(".chart")];
  const near = new IntersectionObserver(
    (entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => (near.unobserve(entry.target), draw(entry.target))),
    { rootMargin: "600px" },
  );
  figures.forEach((figure) => near.observe(figure));
  addEventListener("beforeprint", () => figures.filter((figure) => !drawn.has(figure)).forEach(draw));

  const numbers = (element, key) => (element.dataset[key] ?? "").split(" ").filter(Boolean).map(Number);
  function showAndHide() {
    for (const element of document.querySelectorAll("[data-datasets], [data-runs]"))
      element.hidden = !isOn(numbers(element, "datasets"), numbers(element, "runs"));
    redraw();
  }
  for (const chip of document.querySelectorAll(".chip"))
    chip.addEventListener("click", () => {
      const on = chip.getAttribute("aria-pressed") !== "true";
      chip.setAttribute("aria-pressed", on);
      off[chip.dataset.kind][on ? "delete" : "add"](Number(chip.dataset.number));
      showAndHide();
    });

  const system = matchMedia("(prefers-color-scheme: dark)");
  const button = document.getElementById("theme");
  const isDark = () => (document.documentElement.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";
  const label = () => (button.textContent = isDark() ? "Light theme" : "Dark theme");
  button.addEventListener("click", () => {
    const theme = isDark() ? "light" : "dark";
    document.documentElement.dataset.theme = theme;
    try {
      localStorage.setItem("headweights-theme", theme);
    } catch {
      // Some browsers have no storage for files: the choice lasts until the page is closed.
    }
    label();
    redraw();
  });
  system.addEventListener("change", () => (label(), redraw()));
  label();
})();
