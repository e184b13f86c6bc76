// The denoising viewer of one completion: a slider over its steps, and what is known of each token.
//
// sample: {tokens: [text], columns: {name: [number of each token]}}. The columns "step" (as in a step map: -1
// where nothing was written), "hint" and "kept" have a meaning of their own; all others are shown as numbers.

const NAMES = {
  probability: "probability when written", old_logp: "old log-prob", ref_logp: "reference log-prob",
  new_logp: "new log-prob", advantage: "advantage",
};

function make(name, properties = {}, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}

function viewer(place, sample) {
  const { tokens, columns } = sample;
  const n = tokens.length;
  const hint = columns.hint ?? Array(n).fill(0);
  const written = [...new Set(columns.step.filter((step, i) => step >= 0 && !hint[i]))].sort((a, b) => a - b);
  const order = new Map(written.map((step, i) => [step, i + 1]));
  const step = columns.step.map((value, i) => (hint[i] ? 0 : order.get(value) ?? 0));
  const last = written.length;
  const numbers = Object.keys(columns).filter((name) => !["step", "hint", "kept"].includes(name));
  const numbersOf = (i) => numbers.filter((name) => !(hint[i] && name === "probability")); // a hint was not drawn

  const spans = tokens.map((text, i) => make("span", { className: "t", textContent: text === "" ? "␃" : text, tabIndex: i ? -1 : 0 }));
  const slider = make("input", { type: "range", min: 0, max: last, value: last, step: 1, ariaLabel: "denoising step" });
  const at = make("output");
  const said = make("output", { className: "said", ariaLive: "polite", textContent: "Point at a token, or move through them with the arrow keys." });
  const play = make("button", { type: "button", textContent: "Play" });
  const colour = make("select", { ariaLabel: "colour of the tokens" }, make("option", { value: "", textContent: "colour: order" }));
  colour.append(...numbers.map((name) => make("option", { value: name, textContent: `colour: ${NAMES[name] ?? name}` })));
  let timer = null;

  const describe = (i) => {
    const parts = [`token ${i + 1} of ${n}: “${tokens[i] || "end"}”`];
    if (hint[i]) parts.push(!columns.kept ? "hint" : columns.kept[i] ? "hint that carries gradient" : "hint without gradient");
    else parts.push(step[i] ? `written in step ${step[i]} of ${last}` : "never drawn");
    if (!hint[i] && columns.kept && !columns.kept[i]) parts.push("no gradient");
    if (!hint[i] || columns.kept?.[i]) parts.push(...numbersOf(i).map((name) => `${NAMES[name] ?? name} ${columns[name][i]}`));
    return parts.join(", ");
  };
  const paint = () => {
    const values = colour.value ? columns[colour.value] : step;
    const own = values.filter((_, i) => !hint[i]); // hints have no colour
    const low = Math.min(...own), width = Math.max(...own) - low || 1;
    spans.forEach((span, i) => span.style.setProperty("--at", ((values[i] - low) / width).toFixed(3)));
  };
  const show = () => {
    const now = Number(slider.value);
    spans.forEach((span, i) => {
      const empty = step[i] > now;
      span.classList.toggle("empty", empty);
      span.toggleAttribute("aria-hidden", empty);
    });
    at.textContent = `step ${now} of ${last}`;
    slider.setAttribute("aria-valuetext", at.textContent);
  };
  const stop = () => { clearInterval(timer); timer = null; play.textContent = "Play"; };

  spans.forEach((span, i) => {
    span.classList.toggle("hint", Boolean(hint[i]));
    span.classList.toggle("dropped", Boolean(hint[i] && columns.kept && !columns.kept[i]));
    span.addEventListener("pointerenter", () => { said.textContent = describe(i); });
    span.addEventListener("focus", () => { said.textContent = describe(i); });
    span.addEventListener("keydown", (event) => {
      const to = { ArrowRight: i + 1, ArrowLeft: i - 1, Home: 0, End: n - 1 }[event.key];
      if (to === undefined || !spans[to]) return;
      event.preventDefault();
      span.tabIndex = -1;
      spans[to].tabIndex = 0;
      spans[to].focus();
    });
  });
  colour.addEventListener("input", paint);
  slider.addEventListener("input", () => { stop(); show(); });
  play.addEventListener("click", () => {
    if (timer !== null) return stop();
    if (Number(slider.value) === last) slider.value = 0;
    show();
    play.textContent = "Pause";
    timer = setInterval(() => {
      slider.value = Number(slider.value) + 1;
      show();
      if (Number(slider.value) >= last) stop();
    }, Math.max(60, Math.min(400, 8000 / Math.max(1, last))));
  });
  place.replaceChildren(
    make("div", { className: "canvas" }, ...spans), said,
    make("div", { className: "bar" }, play, slider, at, ...(numbers.length ? [colour] : [])),
  );
  paint();
  show();
}
