"use strict";
// Reading a chart: a slider and the pointer move a cursor, and the values come from the chart's own table.
document.documentElement.classList.add("js");
for (const figure of document.querySelectorAll("figure.chart")) {
  const rows = [...figure.querySelectorAll("tbody tr")];
  const names = [...figure.querySelectorAll("thead th")].slice(1).map((cell) => cell.textContent);
  const slider = figure.querySelector("input");
  const output = figure.querySelector("output");
  const plot = figure.querySelector(".plot");
  const svg = plot.querySelector("svg");
  const cursor = plot.querySelector(".cursor");
  const { low, high, left, right } = Object.fromEntries(
    Object.entries(figure.dataset).map(([key, value]) => [key, Number(value)]),
  );
  const stepOf = (row) => Number(row.cells[0].textContent);
  const show = (index) => {
    const row = rows[index];
    const share = high > low ? (stepOf(row) - low) / (high - low) : 0;
    cursor.setAttribute("transform", `translate(${(left + (right - left) * share) * svg.viewBox.baseVal.width} 0)`);
    const values = names.map((name, at) => [name, row.cells[at + 1].textContent]).filter(([, value]) => value);
    const text = `step ${stepOf(row)}: ${values.map(([name, value]) => `${name} ${value}`.trim()).join(", ")}`;
    output.textContent = text;
    slider.setAttribute("aria-valuetext", text);
  };
  slider.min = 0;
  slider.max = rows.length - 1;
  slider.value = rows.length - 1;
  show(rows.length - 1);
  slider.addEventListener("input", () => {
    figure.classList.add("reading");
    show(Number(slider.value));
  });
  plot.addEventListener("pointermove", (event) => {
    const box = plot.getBoundingClientRect();
    const step = low + (((event.clientX - box.left) / box.width - left) / (right - left)) * (high - low);
    let nearest = 0;
    rows.forEach((row, index) => {
      if (Math.abs(stepOf(row) - step) < Math.abs(stepOf(rows[nearest]) - step)) nearest = index;
    });
    slider.value = nearest;
    figure.classList.add("reading");
    show(nearest);
  });
}
for (const box of document.querySelectorAll("input[data-run]")) {
  box.addEventListener("change", () => document.body.classList.toggle(`hide-run${box.dataset.run}`, !box.checked));
}
// Paper cannot be opened: what matters is unfolded for it, and folded again.
let folded = [];
addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("section > details:not([open])")];
  for (const details of folded) details.open = true;
});
addEventListener("afterprint", () => {
  for (const details of folded) details.open = false;
});
