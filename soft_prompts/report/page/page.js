"use strict";
// Without this script the page shows everything; with it, results can be filtered and sorted.
const table = document.getElementById("runs");
const body = table.tBodies[0];
const filter = document.getElementById("filter");
const shown = document.getElementById("shown");
const rows = Array.from(body.rows);

function show() {
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  for (const row of rows) {
    const text = row.textContent.toLowerCase();
    row.hidden = !words.every((word) => text.includes(word));
    count += !row.hidden;
  }
  shown.textContent = `${count} of ${rows.length}`;
}

function compare(first, second) {
  const [a, b] = [first, second].map((cell) => cell.dataset.key);
  if (a !== undefined && b !== undefined) return Number(a) - Number(b);
  if (a !== undefined || b !== undefined) return a === undefined ? 1 : -1;
  return first.textContent.localeCompare(second.textContent, "en", { numeric: true });
}

function sort(column, heading) {
  const way = heading.getAttribute("aria-sort") === "ascending" ? -1 : 1;
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", way > 0 ? "ascending" : "descending");
  rows.sort((first, second) => way * compare(first.cells[column], second.cells[column]));
  body.append(...rows);
}

Array.from(table.tHead.rows[0].cells).forEach((heading, column) => {
  const button = document.createElement("button");
  button.textContent = heading.textContent;
  button.addEventListener("click", () => sort(column, heading));
  heading.replaceChildren(button);
});
filter.addEventListener("input", show);
filter.closest("p").hidden = false;
show();
window.addEventListener("beforeprint", () => {
  for (const part of document.querySelectorAll("details")) part.open = true;
});
