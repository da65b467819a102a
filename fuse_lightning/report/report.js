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

heads.forEach((head, column) => head.querySelector("button")?.addEventListener("click", () => {
  const down = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
  const numbers = head.classList.contains("number");
  const keys = new Map([...body.rows].map(row => {
    const text = row.cells[column].textContent, number = Number(text);
    return [row, numbers ? (text === "" || isNaN(number) ? Infinity : number) : text];
  }));
  const compare = numbers ? (a, b) => (a > b) - (a < b) : order;
  body.append(...[...keys.keys()].sort((a, b) => down * compare(keys.get(a), keys.get(b))));
  heads.forEach(other => other.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", down > 0 ? "ascending" : "descending");
}));
