/**
 * What runs in the browser: a few habits of the keyboard, the theme, the charts, and whether we are still
 * connected. Pages can be read, searched and worked without it.
 *
 * It is a function here, so that it is formatted and checked like everything else, and sent as its text;
 * so it uses nothing from outside.
 *
 * @module
 */

// deno-lint-ignore no-explicit-any -- the browser's types are not those of the server
type Browser = any;

function client(page: Browser): void {
  const { document, localStorage, location, matchMedia } = page;
  const root = document.documentElement;
  const all = (selector: string): Browser[] => [...document.querySelectorAll(selector)];

  // The theme: what the system says, until somebody chooses.
  const kept = localStorage.getItem("theme");
  if (kept) root.dataset.theme = kept;
  const isDark = () =>
    root.dataset.theme
      ? root.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
  root.classList.add("js");

  const colour = (name: string) => page.getComputedStyle(root).getPropertyValue(name).trim();

  const clock = (at: number) =>
    new Date(at * 1_000).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });

  // Charts: the numbers stand in the page and change with it, the drawing stays.
  const charts = new Map<Browser, { plot: Browser; told: string; theme: boolean }>();
  function draw(): void {
    for (const [figure, { plot }] of charts) {
      if (figure.isConnected) continue;
      plot.destroy();
      charts.delete(figure);
    }
    for (const figure of all("figure[data-chart]")) {
      const told = figure.dataset.chart;
      const had = charts.get(figure);
      if (had?.told === told && had?.theme === isDark()) continue;
      const { at, series } = JSON.parse(told);
      const data = [at, ...series.map((one: Browser) => one.values)];
      if (had?.theme === isDark() && had?.plot.series.length === data.length) {
        had.plot.setData(data);
        had.told = told;
        continue;
      }
      had?.plot.destroy();
      const into = figure.querySelector(".plot");
      const axis = {
        stroke: colour("--muted"),
        font: "12px Inter, sans-serif",
        grid: { stroke: colour("--line"), width: 1 },
        ticks: { show: false },
      };
      const options = {
        width: into.clientWidth,
        height: 200,
        legend: { live: true },
        hooks: {
          // The last value is that of the running minute, which is not over.
          drawClear: [(u: Browser) => {
            const from = u.valToPos(u.data[0].at(-2), "x", true);
            u.ctx.fillStyle = colour("--sunken");
            u.ctx.fillRect(from, u.bbox.top, u.bbox.left + u.bbox.width - from, u.bbox.height);
          }],
        },
        cursor: { points: { size: 7 }, drag: { x: false, y: false } },
        scales: {
          x: { time: true },
          y: { range: (_: Browser, __: number, max: number) => [0, Math.max(1, max * 1.1)] },
        },
        axes: [
          {
            ...axis,
            size: 32,
            grid: { show: false },
            space: 80,
            values: (_: Browser, ticks: number[]) => ticks.map(clock),
          },
          {
            ...axis,
            size: 46,
            values: (_: Browser, ticks: number[]) =>
              ticks.map((n) => n.toLocaleString("en", { notation: "compact" })),
          },
        ],
        series: [
          { label: "at", value: (_: Browser, at: number) => at ? clock(at) : "" },
          ...series.map(({ label, colour: name, dash }: Browser) => ({
            label,
            stroke: colour(name),
            width: 2,
            dash,
            points: { show: false },
            value: (_: Browser, n: number) => n == null ? "" : n.toLocaleString("en"),
          })),
        ],
      };
      charts.set(figure, { plot: new page.uPlot(options, data, into), told, theme: isDark() });
    }
  }
  page.addEventListener("resize", () => {
    for (const [figure, { plot }] of charts) {
      plot.setSize({ width: figure.querySelector(".plot").clientWidth, height: 200 });
    }
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  // A canvas does not take the typeface by itself when that has come; and asking for it makes it come.
  document.fonts.load("12px Inter").then(() => {
    for (const { plot } of charts.values()) plot.redraw(false, true);
  });

  // Whether the page is still told of changes.
  const say = (state: string, words: string) => {
    const light = document.querySelector("#live-state");
    if (!light) return;
    light.dataset.state = state;
    light.querySelector("span").textContent = words;
  };
  const sayLive = () =>
    document.querySelector("[data-away]") ? say("off", "Redis is away") : say("on", "live");
  document.addEventListener("htmx:sse:after:connection", sayLive);
  document.addEventListener("htmx:sse:after:message", () => {
    sayLive();
    draw();
  });
  document.addEventListener("htmx:sse:error", () => say("off", "not connected"));
  document.addEventListener("htmx:sse:close", () => say("off", "not connected"));
  document.addEventListener("visibilitychange", () => document.hidden && say("paused", "paused"));
  document.addEventListener("reload", () => location.reload());

  // How many are selected.
  function count(): void {
    const boxes = all("input[name=id]");
    const chosen = boxes.filter((box) => box.checked).length;
    for (const button of all("[data-selected]")) {
      button.disabled = chosen === 0;
      button.querySelector("output").textContent = chosen === 0 ? "" : ` ${chosen}`;
    }
    for (const every of all("input[data-every]")) {
      every.checked = chosen > 0 && chosen === boxes.length;
      every.indeterminate = chosen > 0 && chosen < boxes.length;
    }
  }
  document.addEventListener("change", (event: Browser) => {
    if (event.target.matches("input[data-every]")) {
      for (const box of all("input[name=id]")) box.checked = event.target.checked;
    }
    count();
  });

  document.addEventListener("click", (event: Browser) => {
    if (event.target.closest("[data-theme-button]")) {
      root.dataset.theme = isDark() ? "light" : "dark";
      localStorage.setItem("theme", root.dataset.theme);
      draw();
    }
    const copy = event.target.closest("[data-copy]");
    if (copy) {
      // Where a browser permits it: on this machine, or by https.
      const text = document.getElementById(copy.dataset.copy)?.textContent ?? "";
      const copied = page.navigator.clipboard?.writeText(text) ?? Promise.reject(new Error());
      copied.then(() => copy.textContent = "Copied", () => copy.textContent = "Not permitted");
      page.setTimeout(() => copy.textContent = "Copy", 2_000);
    }
  });

  // How many are meant stands on the button.
  document.addEventListener("input", ({ target }: Browser) => {
    if (target.name !== "most") return;
    const label = target.form.querySelector("[data-all]");
    const { all } = label.dataset;
    label.textContent = target.value === "" ? all : `${Number(target.value)} of ${all}`;
  });

  // What was pressed goes on, and is not pressed twice. A page that comes back from the cache is as new.
  document.addEventListener("submit", (event: Browser) => {
    const { submitter } = event;
    if (event.target.method === "post") {
      if (event.target.dataset.sent) return event.preventDefault();
      event.target.dataset.sent = "1";
    }
    submitter?.setAttribute("aria-busy", "true");
  });
  page.addEventListener("pageshow", () => {
    for (const form of all("form[data-sent]")) delete form.dataset.sent;
    for (const busy of all("[aria-busy]")) busy.removeAttribute("aria-busy");
  });

  // Keys: / searches, j and k go through the rows, x selects one.
  document.addEventListener("keydown", (event: Browser) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches("input:not([type=checkbox]), textarea, select")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const rows = all("[data-row]");
    const at = rows.findIndex((row) => row.contains(document.activeElement));
    if (event.key === "/") {
      document.querySelector("input[type=search]")?.focus();
      event.preventDefault();
    } else if (event.key === "j" || event.key === "k") {
      const next =
        rows[event.key === "j" ? Math.min(at + 1, rows.length - 1) : Math.max(at - 1, 0)];
      next?.querySelector("a")?.focus();
    } else if (event.key === "x" && at >= 0) rows[at].querySelector("input[name=id]")?.click();
  });

  // On a phone a row of tabs is wider than the screen: the one that is open comes into sight.
  function showOpen(): void {
    for (const tab of all(".tabs a[aria-current], nav.main a[aria-current]")) {
      const row = tab.parentElement;
      const { left, width } = tab.getBoundingClientRect();
      const seen = row.getBoundingClientRect();
      row.scrollLeft += left + width / 2 - (seen.left + seen.width / 2);
    }
  }

  document.addEventListener("DOMContentLoaded", () => {
    showOpen();
    draw();
    count();
  });
}

/** The script, as it is sent. */
export const SCRIPT = `(${client})(globalThis);\n`;
