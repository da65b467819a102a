const prompts = document.getElementById("prompts"), body = prompts.tBodies[0];
const heads = [...prompts.tHead.querySelectorAll("th")];
const search = document.getElementById("search"), count = document.getElementById("count");
const texts = new Map([...body.rows].map(row => [row, row.textContent.toLowerCase()]));
const order = new Intl.Collator(undefined, { numeric: true }).compare;

// A target's picture is in the file once, however many prompts it has.
for (const image of body.querySelectorAll("img[data-same]"))
  image.src = document.getElementById(image.dataset.same).src;

search.addEventListener("input", () => {
  const wanted = search.value.toLowerCase();
  let shown = 0;
  for (const [row, text] of texts) {
    row.hidden = !text.includes(wanted);
    shown += !row.hidden;
  }
  count.value = wanted ? `${shown} of ${texts.size}` : "";
});

// A cell is sorted by its data-key, where it has one.
function key(cell, numbers) {
  const text = cell.dataset.key ?? cell.textContent, number = Number(text);
  return numbers ? (text === "" || isNaN(number) ? Infinity : number) : text;
}

function sort(table, head) {
  const down = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
  const numbers = head.classList.contains("number"), rows = [...table.tBodies[0].rows];
  const keys = new Map(rows.map(row => [row, key(row.cells[head.cellIndex], numbers)]));
  const compare = numbers ? (a, b) => (a > b) - (a < b) : order;
  table.tBodies[0].append(...rows.sort((a, b) => down * compare(keys.get(a), keys.get(b))));
  for (const other of table.tHead.querySelectorAll("th")) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", down > 0 ? "ascending" : "descending");
}

for (const table of document.querySelectorAll("table.sortable"))
  for (const button of table.tHead.querySelectorAll("button"))
    button.addEventListener("click", () => sort(table, button.closest("th")));

for (const kinds of document.querySelectorAll("select.kinds"))
  kinds.addEventListener("change", () => {
    for (const row of kinds.closest("details").querySelectorAll("tr[data-kind]"))
      row.hidden = kinds.value !== "" && row.dataset.kind !== kinds.value;
  });
