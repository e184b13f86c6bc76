// Charts by Bokeh (https://bokeh.org): hover, zoom, log scale, smoothing, and a choice of what x is.
//
// data.charts: {group: [{title, percent, curves: [{label, colour?, y, low?, high?, update, rollout, ...}]}]}, one
// list for each element with data-charts=group, whose .chart elements stand in the same order.

const DASHES = ["solid", "dashed", "dotted", "dotdash"]; // told apart without their colours, too
const LONG = 100; // points of a curve that is smoothed from the start
const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const short = (value, percent) => (percent ? `${(100 * value).toFixed(1)}%` : Number(value.toPrecision(4)).toString());

// The mean of each value and up to half neighbours on either side, without those that are missing.
function smooth(values, half) {
  if (!half) return values;
  return values.map((value, i) => {
    const near = values.slice(Math.max(0, i - half), i + half + 1).filter(Number.isFinite);
    return Number.isFinite(value) && near.length ? near.reduce((a, b) => a + b, 0) / near.length : NaN;
  });
}

// One chart in its element; returns what draws it anew. A short curve is smoothed over an eighth to either side at most.
function chartOf(element, chart, controls, axes) {
  const plot = element.querySelector(".plot"), said = element.querySelector(".said");
  const hidden = new Set();
  let figure = null, cursor = null, points = [], at = -1;

  const legend = element.querySelector(".legend");
  legend.replaceChildren(...chart.curves.map((curve, i) => {
    const button = make("button", { type: "button", textContent: curve.label, ariaPressed: "true" });
    button.style.setProperty("--colour", `var(--c${(curve.colour ?? i) % 8})`);
    button.addEventListener("click", () => {
      if (!hidden.delete(i)) hidden.add(i);
      button.ariaPressed = String(!hidden.has(i));
      draw();
    });
    return button;
  }));

  async function draw() {
    const { x: axis, half: most, log } = controls();
    const known = (curve) => curve[axis] ?? curve.update;
    const colours = { line: style("--line"), muted: style("--muted") };
    figure = Bokeh.Plotting.figure({
      height: 230, sizing_mode: "stretch_width", y_axis_type: log ? "log" : "linear", toolbar_location: "above",
      tools: "xbox_zoom,pan,reset,save", background_fill_color: null, border_fill_color: null, outline_line_color: null,
      x_axis_label: axes[axis],
    });
    figure.toolbar.logo = null;
    figure.toolbar.autohide = true;
    figure.toolbar.active_drag = figure.toolbar.tools.find((tool) => tool instanceof Bokeh.BoxZoomTool);
    for (const line of [...figure.below, ...figure.left]) {
      Object.assign(line, { axis_line_color: colours.line, major_tick_line_color: colours.line, minor_tick_line_color: null,
        major_label_text_color: colours.muted, axis_label_text_color: colours.muted });
    }
    for (const grid of figure.center) grid.grid_line_color = colours.line;
    if (chart.percent) figure.left[0].formatter = new Bokeh.NumeralTickFormatter({ format: "0.[0]%" });
    points = [];
    chart.curves.forEach((curve, i) => {
      if (hidden.has(i)) return;
      const name = curve.label, half = Math.min(most, Math.floor(curve.y.length / 8));
      const usable = (value) => (value === null || (log && value <= 0) ? NaN : value);
      const raw = curve.y.map(usable), y = smooth(raw, half), x = known(curve);
      const number = curve.colour ?? i, color = style(`--c${number % 8}`);
      if (curve.low) {
        const low = smooth(curve.low.map(usable), half), high = smooth(curve.high.map(usable), half);
        figure.varea({ field: "x" }, { field: "low" }, { field: "high" },
          { source: new Bokeh.ColumnDataSource({ data: { x, low, high } }), fill_color: color, fill_alpha: 0.18 });
      }
      if (half) figure.line(x, raw, { line_color: color, line_alpha: 0.3 });
      const source = new Bokeh.ColumnDataSource({ data: { x, y } });
      const line_dash = half || x.length < LONG ? DASHES[number % 4] : "solid";
      figure.line({ field: "x" }, { field: "y" }, { source, line_color: color, line_width: 2, line_dash });
      if (x.length < 12) figure.scatter({ field: "x" }, { field: "y" }, { source, size: 5, color });
      x.forEach((place, k) => Number.isFinite(y[k]) && points.push([place, `${name} ${short(y[k], chart.percent)}`, y[k]]));
    });
    points = [...Map.groupBy(points, ([place]) => place)].sort((a, b) => a[0] - b[0]);
    // One tooltip for all curves: that of a line that is not seen.
    const told = points.map(([place, values]) => [`${axes[axis]} ${short(place)}`, ...values.map(([, text]) => text)].join("\n"));
    const source = new Bokeh.ColumnDataSource({ data: { x: points.map(([x]) => x), y: points.map(([, [[, , y]]]) => y), told } });
    const unseen = figure.line({ field: "x" }, { field: "y" }, { source, line_alpha: 0 });
    figure.add_tools(new Bokeh.HoverTool({ renderers: [unseen], mode: "vline", tooltips: '<div style="white-space:pre-line">@told</div>' }));
    cursor = new Bokeh.Span({ location: 0, dimension: "height", line_color: colours.muted, line_dash: "dashed", visible: false });
    figure.add_layout(cursor);
    const inner = make("div"); // another drawing may replace it before this one is done
    plot.replaceChildren(inner);
    await Bokeh.Plotting.show(figure, inner);
  }

  // Keys: arrows read the values out, + and - zoom around the place that was read, 0 shows everything.
  plot.tabIndex = 0;
  plot.addEventListener("keydown", (event) => {
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: points.length - 1 }[event.key];
    if (to !== undefined && points.length) {
      at = Math.max(0, Math.min(points.length - 1, to));
      const [place, values] = points[at];
      said.textContent = `${axes[controls().x]} ${short(place)}: ${values.map(([, text]) => text).join(", ")}`;
      Object.assign(cursor, { location: place, visible: true });
    } else if ("+-0".includes(event.key)) {
      const range = figure.x_range, factor = event.key === "+" ? 0.5 : 2;
      if (event.key === "0") range.reset();
      else {
        const centre = points[at]?.[0] ?? (range.start + range.end) / 2;
        [range.start, range.end] = [range.start, range.end].map((end) => centre + (end - centre) * factor);
      }
    } else return;
    event.preventDefault();
  });
  return draw;
}

// All charts of the page, from top to bottom; those that are folded when they are opened.
async function drawCharts(data) {
  Bokeh.set_log_level("error");
  const form = document.querySelector(".controls");
  const field = (name) => form.elements[name];
  const controls = () => ({ x: field("x").value, half: Number(field("smooth").value), log: field("log").checked });
  if (Object.values(data.charts)[0].some((chart) => chart.curves[0].y.length > LONG)) field("smooth").value = 4;
  const drawn = new Set(), draws = new Map();
  for (const [group, charts] of Object.entries(data.charts)) {
    const elements = document.querySelectorAll(`[data-charts="${group}"] .chart`);
    charts.forEach((chart, i) => draws.set(elements[i], chartOf(elements[i], chart, controls, data.axes)));
  }
  const draw = async (element) => {
    drawn.add(element);
    await draws.get(element)();
    await new Promise((next) => setTimeout(next));
  };
  const folded = (element) => element.closest("details:not([open])") !== null;
  let waiting = null, latest = 0;
  const all = async () => {
    const mine = ++latest;
    drawn.clear();
    for (const element of draws.keys()) if (mine === latest && !folded(element)) await draw(element);
  };
  const again = () => { clearTimeout(waiting); waiting = setTimeout(all, 80); };
  form.addEventListener("input", again);
  form.addEventListener("submit", (event) => event.preventDefault());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  document.querySelectorAll("details.fold").forEach((details) => details.addEventListener("toggle", async () => {
    for (const element of draws.keys()) if (details.contains(element) && !folded(element) && !drawn.has(element)) await draw(element);
  }));
  await all();
}
