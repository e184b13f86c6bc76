// What is packed in the page, tables that sort, samples that are filtered; then the page is ready.

// The text of a script element that holds deflated text in base64; null where there is no such element.
async function unpacked(id) {
  const element = document.getElementById(id);
  if (element === null) return null;
  const bytes = Uint8Array.from(atob(element.textContent), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).text();
}

// A click on the head of a column sorts by it: numbers by size, everything else as text.
function sortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  const number = (text) => parseFloat(text.replace(/,/g, "").replace("−", "-"));
  heads.forEach((head, column) => {
    if (head.textContent === "") return;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const rising = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", rising ? "ascending" : "descending");
      const text = (row) => row.cells[column].textContent.trim();
      const order = (a, b) => {
        const [x, y] = [text(a), text(b)];
        const [m, n] = [number(x), number(y)];
        if (Number.isNaN(m) !== Number.isNaN(n)) return Number.isNaN(m) ? 1 : -1;
        const sign = Number.isNaN(m) ? x.localeCompare(y) : m - n;
        return rising ? sign : -sign;
      };
      table.tBodies[0].append(...[...table.tBodies[0].rows].sort(order));
    });
  });
}

// Selects whose value must be among the words of a sample's data-is; and a text that must stand in it.
function filtered(form) {
  const samples = [...document.querySelectorAll(".sample")];
  const count = form.querySelector("output");
  const apply = () => {
    const wanted = [...form.querySelectorAll("select")].map((select) => select.value).filter(Boolean);
    const text = form.querySelector("input").value.toLowerCase();
    let shown = 0;
    for (const sample of samples) {
      const is = sample.dataset.is.split(" ");
      const fits = wanted.every((word) => is.includes(word));
      sample.hidden = !(fits && sample.textContent.toLowerCase().includes(text));
      shown += !sample.hidden;
    }
    count.textContent = `${shown} of ${samples.length} shown`;
  };
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  apply();
}

async function start() {
  const data = JSON.parse((await unpacked("data")) ?? "{}");
  document.querySelectorAll("table.sortable").forEach(sortable);
  document.querySelectorAll("form.filters").forEach(filtered);
  for (const place of document.querySelectorAll("[data-sample]")) viewer(place, data.samples[place.dataset.sample]);
  document.documentElement.dataset.ready = "";
  const library = await unpacked("library");
  if (library === null || !data.charts) return;
  const script = document.createElement("script");
  script.textContent = library;
  document.head.append(script);
  document.documentElement.dataset.charts = "";
  await drawCharts(data);
  document.documentElement.dataset.drawn = "";
}
start();
