const $ = id => document.getElementById(id);
const { words, measures, same, texts } = JSON.parse($("data").textContent);
const panel = $("panel"), main = $("texts");
const NEAR = "800px", LONG = 24, LONGEST = 200, AROUND = 10;
// Joiners belong to words of some scripts and to emoji.
const HIDDEN = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;
const MARKS = { " ": "space", "\n": "newline", "\t": "tab" }, SIGNS = { " ": "·", "\n": "↵", "\t": "⇥" };

function make(tag, name, ...content) {
  const node = document.createElement(tag);
  if (name) node.className = name;
  node.append(...content);
  return node;
}

const row = packed => packed ? packed.split(",") : [];
const numbers = packed => row(packed).map(Number);
const escaped = text => text.replace(HIDDEN, found =>
  [...Array(found.length).keys()].map(n => "\\u" + found.charCodeAt(n).toString(16).padStart(4, "0")).join(""));

// A token as a name: signs stand for its white space.
const named = text => text === "" ? "part of a character"
  : text.split(/([ \n\t])/).map(part => SIGNS[part] ?? escaped(part)).join("");

// A token within its text: white space stays, so that lines break and copies are right.
const marked = text => text.split(/([ \n\t])/).filter(part => part).map(part =>
  MARKS[part] ? make("span", MARKS[part], part) : escaped(part));

function shown(value, digits = 4) {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  return String(Number(value.toPrecision(digits))).replace("-", "−");
}

const per_cent = value => `${shown(value, 3)} %`;

function side(a, b) {
  const difference = a - b;
  return !(Math.abs(difference) >= same) ? "even" : difference > 0 ? "a" : "b";
}

const strength = (divergence, top) => divergence > 0 ? Math.sqrt(Math.min(1, divergence / top)) : 0;

function chosen() {
  const name = $("measure").value, [label, unit, top] = measures[name] ?? ["no divergence", "", 1];
  return { name, label, unit, top };
}

const mean = text => Number(text.means[chosen().name] ?? NaN);

// Largest first; infinite ones lead, and what is no number comes last.
const most = (a, b) => (Number.isNaN(a) - Number.isNaN(b)) || (b > a) - (b < a);

const articles = texts.map((text, index) => {
  const article = make("article");
  article.dataset.index = index;
  return article;
});
const rendered = new Set(), stale = new Set(), near = new Set();

function facts(text) {
  const { label, unit } = chosen();
  const listed = values => Object.entries(values).map(([name, value]) => `${escaped(name)} ${shown(Number(value))}`).join(", ");
  const found = [make("strong", "", `#${text.number}`), `sample ${text.sample}`, make("strong", "mean", `mean ${label} ${shown(mean(text))} ${unit}`)];
  if (Object.keys(text.perplexities).length) found.push(`perplexity ${listed(text.perplexities)}`);
  if (Object.keys(text.weights).length) found.push(`weights ${listed(text.weights)}`);
  return [...found, text.ended].map(each => make("span", "", each));
}

function render(article) {
  const text = texts[article.dataset.index];
  const [a, b] = text.pair.map(name => numbers(text.logProbs[name]));
  const told = make("p", "told", make("span", "prompt", ...marked(text.prompt)));
  told.dir = "auto";
  told.setAttribute("role", "group");
  told.setAttribute("aria-label", `tokens of text ${text.number}, sample ${text.sample}`);
  for (const [place, word] of row(text.pieces).entries()) {
    const piece = words[word], token = make("span", `t ${side(a[place], b[place])}`, ...marked(piece));
    if (piece === "") token.classList.add("part");
    // A line breaks before a space, which belongs to its token, and within long tokens only.
    token.classList.toggle("long", piece.length > LONG);
    if (/^\s/.test(piece)) told.append(make("wbr"));
    token.dataset.place = place;
    token.tabIndex = place ? -1 : 0;
    token.setAttribute("role", "button");
    told.append(token);
  }
  article.append(make("div", "facts"), told);
  rendered.add(article);
  paint(article);
}

function paint(article) {
  const text = texts[article.dataset.index], { name, top } = chosen();
  const values = numbers(text.divergences[name]);
  article.firstChild.replaceChildren(...facts(text));
  for (const token of article.querySelectorAll(".t"))
    token.style.setProperty("--strength", strength(values[token.dataset.place], top).toFixed(4));
  stale.delete(article);
}

function see(article) {
  if (!rendered.has(article)) render(article);
  else if (stale.has(article)) paint(article);
}

// Texts become elements when they come near the window: there may be thousands.
const observer = new IntersectionObserver(entries => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting) near.add(target), see(target);
    else near.delete(target);
  }
}, { rootMargin: NEAR });
for (const article of articles) observer.observe(article);
addEventListener("beforeprint", () => articles.forEach(see));

const prompts = new Map();
for (const [index, text] of texts.entries()) {
  const key = `${text.number} ${text.prompt}`;
  if (!prompts.has(key)) prompts.set(key, []);
  prompts.get(key).push(index);
}

// Texts without prompts are told apart by how they begin.
const bare = texts.every(text => !text.prompt);
if (bare) {
  $("summary").querySelector("summary").textContent = "By text";
  $("summary-name").textContent = "text";
}

function begin(text) {
  if (text.prompt) return named(text.prompt.slice(0, LONGEST));
  if (!bare) return "(no prompt)";
  return named(row(text.pieces).map(word => words[word]).join("").slice(0, LONGEST));
}

function summary() {
  const rows = [...prompts.values()].map(indices => {
    const values = indices.map(index => mean(texts[index])), n = values.length;
    const average = values.reduce((sum, value) => sum + value, 0) / n;
    const squares = values.reduce((sum, value) => sum + (value - average) ** 2, 0);
    return { index: indices[0], n, average, error: Math.sqrt(squares / (n - 1) / n) };
  });
  if ($("order").value === "most") rows.sort((a, b) => most(a.average, b.average));
  return rows.map(({ index, n, average, error }) => {
    const text = texts[index], go = make("button", "go", begin(text));
    go.dataset.index = index;
    return make("tr", "", make("td", "number", String(text.number)), make("td", "", go),
      make("td", "number", String(n)), make("td", "number", shown(average)),
      make("td", "number", Number.isFinite(error) ? shown(error, 3) : "–"));
  });
}

function legend() {
  const { unit, top, label } = chosen(), pairs = new Set(texts.map(text => JSON.stringify(text.pair)));
  const [a, b] = pairs.size === 1 ? texts[0].pair.map(escaped) : ["A", "B"];
  $("name-a").textContent = `likelier under A${a === "A" ? "" : `, ${a}`}`;
  $("name-b").textContent = `likelier under B${b === "B" ? "" : `, ${b}`}`;
  $("unit").textContent = unit ? `${label} in ${unit}` : label;
  // The strength is the root of the share: half of it is a quarter of the scale.
  const ticks = [`≥ ${shown(top, 2)}`, shown(top / 4, 2), "0", shown(top / 4, 2), `≥ ${shown(top, 2)}`];
  $("ticks").replaceChildren(...ticks.map(tick => make("span", "", tick)));
}

function arrange() {
  const order = [...articles];
  const means = texts.map(mean);
  if ($("order").value === "most")
    order.sort((a, b) => most(means[a.dataset.index], means[b.dataset.index]));
  main.append(...order);
  $("by-prompt").replaceChildren(...summary());
}

function update() {
  hide();
  for (const article of rendered) stale.add(article);
  for (const article of near) see(article);
  legend();
  arrange();
}

let searched;
function filter() {
  searched ??= texts.map(text =>
    [text.prompt, ...row(text.pieces).map(word => words[word])].join("").toLowerCase());
  const wanted = $("filter").value.toLowerCase();
  let count = 0;
  for (const [index, article] of articles.entries()) {
    article.hidden = !searched[index].includes(wanted);
    count += !article.hidden;
  }
  $("count").value = wanted ? `${count} of ${texts.length}` : "";
}

// The panel of one token. The pointer passes through it, to the tokens below, until it is pinned.
let current = null, pinned = false, leaving;

function tops(text, stream, place) {
  const found = row(text.tops[stream]?.split(";")[place]);
  return found.flatMap((word, n) => n % 2 ? [] : [[word, Number(found[n + 1])]]);
}

function fill(text, place) {
  const pieces = row(text.pieces), streams = [...new Set([...text.pair, ...Object.keys(text.logProbs)])];
  const logs = streams.map(name => numbers(text.logProbs[name])[place] ?? NaN);
  const lists = streams.map(name => tops(text, name, place));
  const letters = streams.map(name => text.pair[0] === name ? "A" : text.pair[1] === name ? "B" : "");
  const heads = streams.map((name, n) => make("th", "", name === letters[n] || !letters[n] ? escaped(name) : `${letters[n]}: ${escaped(name)}`));
  const line = (head, cells) => make("tr", "", make("th", "", head), ...cells);
  const found = make("tbody", "", line("log-probability", logs.map(value => make("td", "number", shown(value)))),
    line("probability", logs.map(value => make("td", "number", per_cent(100 * Math.exp(value))))));
  for (let n = 0; n < Math.max(0, ...lists.map(list => list.length)); n++)
    found.append(line(`top ${n + 1}`, lists.map(list => {
      const [word, share] = list[n] ?? [];
      if (word === undefined) return make("td");
      const cell = make("td", "top", make("span", "", named(words[word])), make("span", "share", per_cent(share)));
      cell.classList.toggle("this", word === pieces[place]);
      cell.style.setProperty("--share", `${share}%`);
      return cell;
    })));
  const measured = Object.keys(measures).filter(name => name in text.divergences).map(name => {
    const [label, unit] = measures[name];
    const value = make("tr", name === chosen().name ? "this" : "", make("th", "", label),
      make("td", "number", shown(numbers(text.divergences[name])[place])), make("td", "", unit));
    return value;
  });
  const difference = logs[0] - logs[1], likelier = side(logs[0], logs[1]);
  const said = likelier === "even" ? "as likely under both" : `likelier under ${likelier.toUpperCase()}, by ${shown(Math.abs(difference))} nats`;
  panel.replaceChildren(
    make("p", "name", make("strong", "", named(words[pieces[place]])), ` id ${row(text.ids)[place]}, ${said}`),
    make("div", "columns",
      make("table", "streams", make("thead", "", make("tr", "", make("th"), ...heads)), found),
      make("table", "measured", make("tbody", "", ...measured))));
}

function show(token) {
  clearTimeout(leaving);
  if (token !== current) {
    hide();
    current = token;
    fill(texts[token.closest("article").dataset.index], Number(token.dataset.place));
    token.classList.add("current");
    token.setAttribute("aria-describedby", "panel");
  }
  panel.hidden = false;
  const at = token.getClientRects()[0], width = document.documentElement.clientWidth, height = innerHeight;
  const below = at.bottom + panel.offsetHeight < height || at.top < panel.offsetHeight;
  panel.style.left = `${scrollX + Math.max(4, Math.min(at.left, width - panel.offsetWidth - 4))}px`;
  panel.style.top = `${scrollY + (below ? at.bottom : at.top - panel.offsetHeight)}px`;
}

function hide() {
  clearTimeout(leaving);
  panel.hidden = true;
  pinned = false;
  panel.classList.remove("pinned");
  current?.classList.remove("current");
  current?.removeAttribute("aria-describedby");
  current = null;
}

const leave = () => { if (!pinned) leaving = setTimeout(hide, 150); };

const token_of = event => event.target.closest?.(".told > .t");

main.addEventListener("pointerover", event => {
  const token = token_of(event);
  if (token && !pinned && event.pointerType !== "touch") show(token);
});
main.addEventListener("pointerout", event => { if (token_of(event) && event.pointerType !== "touch") leave(); });
main.addEventListener("focusin", event => { if (token_of(event)) show(token_of(event)); });
main.addEventListener("focusout", leave);

function pin(token) {
  if (pinned && token === current) return hide();
  show(token);
  pinned = true;
  panel.classList.add("pinned");
}

document.addEventListener("click", event => {
  const token = token_of(event);
  if (token) pin(token);
  else if (!panel.contains(event.target)) hide();
});
addEventListener("keydown", event => {
  if (event.key === "Escape") return hide();
  const token = token_of(event);
  if (!token || event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    return pin(token);
  }
  const tokens = [...token.parentNode.querySelectorAll(".t")], place = tokens.indexOf(token);
  const next = { ArrowRight: place + 1, ArrowLeft: place - 1, Home: 0, End: tokens.length - 1 }[event.key];
  if (next === undefined || !tokens[next]) return;
  event.preventDefault();
  // Tab comes back to the token that was looked at last.
  token.tabIndex = -1;
  tokens[next].tabIndex = 0;
  hide();
  tokens[next].focus();
});

$("measure").addEventListener("change", update);
$("order").addEventListener("change", arrange);
$("filter").addEventListener("input", () => { hide(); filter(); });
$("by-prompt").addEventListener("click", event => {
  const go = event.target.closest(".go");
  if (!go) return;
  $("filter").value = "";
  filter();
  const group = prompts.get(`${texts[go.dataset.index].number} ${texts[go.dataset.index].prompt}`);
  const order = [...main.children], place = order.findIndex(article => group.includes(Number(article.dataset.index)));
  // What would grow as soon as it is near grows first: else it would move the text away.
  order.slice(Math.max(0, place - AROUND), place + AROUND).forEach(see);
  order[place].scrollIntoView();
});
$("summary").hidden = texts.length === 1;
legend();
arrange();
