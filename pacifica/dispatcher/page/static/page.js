"use strict";
// Keep the page up to date, show output live, copy and search. Without this script, pages work but need a reload, and
// the controls that depend on it are hidden.

const PAUSE = 3000;
const MOST_SHOWN = 1024 * 1024; // characters of output
const MOST_FOUND = 1000;
const SILENT = "server not responding; retrying";
const REFUSED = "not updated now; retrying";
const UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
const live = document.getElementById("live");
const main = document.getElementById("main");
let shown = main.innerHTML;
let pending = null;

document.documentElement.classList.add("scripted");

function inWords(seconds, units) {
  const words = [];
  let left = Math.max(0, Math.floor(seconds));
  for (const [length, unit] of UNITS) {
    const number = Math.floor(left / length);
    left -= number * length;
    if (number && words.length < units) words.push(`${number} ${unit}`);
    else if (words.length) break;
  }
  return words.join(" ");
}

function tick() {
  for (const each of document.querySelectorAll("time")) {
    const when = new Date(each.dateTime);
    const seconds = (Date.now() - when) / 1000;
    each.title = when.toLocaleString();
    if (each.classList.contains("lasts")) each.textContent = inWords(seconds, 2) || "0 s";
    else if (seconds >= 1) each.textContent = `${inWords(seconds, 1)} ago`;
  }
}

function announce(text) {
  if (live.textContent !== text) live.textContent = text;
}

// Do not update under a reader: a list that grows at its top would move if it has been scrolled.
function isBusy() {
  const selection = document.getSelection();
  const typing = document.activeElement && document.activeElement.closest("form.filters");
  const away = window.scrollY > 300 && document.getElementById("events");
  const selecting = document.querySelector("#together input:checked");
  const pressing = main.matches(":active"); // a click needs the same element at its end
  const reading = selection && !selection.isCollapsed;
  return document.hidden || typing || away || selecting || pressing || reading;
}

// Update only what has changed, so that open, focused and scrolled elements stay as they are.
function patch(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  if (old.nodeType !== Node.ELEMENT_NODE) {
    old.data = fresh.data;
    return;
  }
  if (old.id === "find" || (old.id === "output" && fresh.dataset.output === followed)) return;
  for (const { name, value } of [...fresh.attributes]) {
    if (name !== "open" && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  for (const { name } of [...old.attributes]) {
    if (name !== "open" && !fresh.hasAttribute(name)) old.removeAttribute(name);
  }
  const ids = new Set([...fresh.children].map((each) => each.id));
  let next = old.firstChild;
  for (const each of [...fresh.childNodes]) {
    while (next?.id && !ids.has(next.id)) next = removeAndNext(next);
    const like = next && !next.id && next.nodeName === each.nodeName ? next : null;
    const mine = each.id ? old.querySelector(`:scope > #${CSS.escape(each.id)}`) : like;
    if (!mine) {
      old.insertBefore(each, next);
      continue;
    }
    if (mine === next) next = next.nextSibling;
    else old.insertBefore(mine, next);
    patch(mine, each);
  }
  while (next) next = removeAndNext(next);
}

// Remove a node and return its next sibling.
function removeAndNext(node) {
  const next = node.nextSibling;
  node.remove();
  return next;
}

function update(html) {
  pending = html;
  if (isBusy()) {
    announce("updates paused");
    return;
  }
  announce("live");
  pending = null;
  if (html === shown) return;
  const fresh = document.createElement("main");
  fresh.innerHTML = html;
  shown = html;
  for (const { name, value } of main.attributes) fresh.setAttribute(name, value);
  patch(main, fresh);
  tick();
  follow();
}

async function poll() {
  try {
    const response = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (!response.ok) throw new Error(response.statusText);
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    update(page.getElementById("main").innerHTML);
  } catch {
    announce(SILENT);
  }
}

function listen() {
  if (!window.EventSource) {
    setInterval(() => document.hidden || poll(), PAUSE);
    return;
  }
  const changes = new EventSource(location.href);
  let failed = 0; // the end of a response is not a failure: the browser reconnects
  changes.addEventListener("open", () => {
    failed = 0;
    if (pending === null) announce("live");
  });
  changes.addEventListener("page", (message) => update(JSON.parse(message.data)));
  changes.addEventListener("error", () => {
    failed += 1;
    if (failed > 1) announce(SILENT);
    if (changes.readyState === EventSource.CLOSED) { // an error response, such as 503
      announce(REFUSED);
      setTimeout(listen, PAUSE);
    }
  });
}

let source = null;
let followed = null; // address of the output that is streamed

function follow() {
  const output = document.querySelector("[data-follow]");
  if (!output || !window.EventSource || followed === output.dataset.output) return;
  followed = output.dataset.output;
  source?.close();
  source = new EventSource(`${followed}&html`);
  const sizes = [];
  let size = 0;
  source.addEventListener("output", (message) => {
    const { text, html } = JSON.parse(message.data);
    if (!sizes.length) output.textContent = "";
    const piece = document.createElement("span");
    piece.innerHTML = html;
    output.append(piece);
    size += text.length;
    sizes.push(text.length);
    while (size > MOST_SHOWN && sizes.length > 1) {
      size -= sizes.shift();
      output.firstChild.remove();
    }
    if (isFollowing()) output.scrollTop = output.scrollHeight;
    find();
  });
  source.addEventListener("end", ({ target }) => target.close());
  source.addEventListener("error", ({ target }) => {
    if (target === source && target.readyState === EventSource.CLOSED) followed = null;
  });
}

function isFollowing() {
  return document.getElementById("follow").checked;
}

// Matches of the search text in the output: case-insensitive, across colours.
let found = [];
let chosen = 0;

function find() {
  const form = document.getElementById("find");
  const wanted = form?.elements.find.value;
  found = wanted ? ranges(document.getElementById("output"), wanted) : [];
  chosen = Math.min(chosen, Math.max(0, found.length - 1));
  if (!form) return;
  const many = found.length === MOST_FOUND ? `${MOST_FOUND}+` : found.length;
  form.querySelector("output").value = !wanted ? "" : found.length ? `${chosen + 1} of ${many}` : "no matches";
  if (!window.Highlight) return;
  CSS.highlights.set("found", new Highlight(...found));
  CSS.highlights.set("chosen", new Highlight(...found.slice(chosen, chosen + 1)));
}

function ranges(output, wanted) {
  const pattern = new RegExp(wanted.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&"), "giu");
  const nodes = document.createTreeWalker(output, NodeFilter.SHOW_TEXT);
  let node = nodes.nextNode();
  let begin = 0; // offset of the node in the whole text
  const set = (method, range, position) => {
    while (position > begin + node.length) {
      begin += node.length;
      node = nodes.nextNode();
    }
    range[method](node, position - begin);
  };
  const all = [];
  for (const match of output.textContent.matchAll(pattern)) {
    if (all.length === MOST_FOUND) break;
    const range = new Range();
    set("setStart", range, match.index);
    set("setEnd", range, match.index + match[0].length);
    all.push(range);
  }
  return all;
}

// Scroll to the chosen match, and stop following the end, which would scroll it away.
function next() {
  if (!found.length) return;
  document.getElementById("follow").checked = false;
  const output = document.getElementById("output");
  const match = found[chosen].getBoundingClientRect();
  output.scrollTop += match.top - output.getBoundingClientRect().top - output.clientHeight / 2;
}

async function copy(button) {
  const text = button.parentElement.querySelector("pre");
  try {
    await navigator.clipboard.writeText(text.textContent);
  } catch { // the clipboard needs https or localhost
    document.getSelection().selectAllChildren(text);
    if (!document.execCommand("copy")) return;
    document.getSelection().empty();
  }
  button.textContent = "Copied";
  setTimeout(() => (button.textContent = "Copy"), 2000);
}

document.addEventListener("change", ({ target }) => {
  const output = document.getElementById("output");
  if (target.id === "wrap") output.classList.toggle("wrap", target.checked);
  if (target.id === "follow" && target.checked) output.scrollTop = output.scrollHeight;
});

document.addEventListener("click", ({ target }) => {
  if ("copy" in target.dataset) copy(target);
});

document.addEventListener("input", ({ target }) => {
  if (target.name !== "find") return;
  chosen = 0;
  find();
  next();
});

document.addEventListener("submit", (event) => {
  if (event.target.id !== "find") return;
  event.preventDefault();
  chosen = found.length ? (chosen + 1) % found.length : 0;
  find();
  next();
});

tick();
setInterval(tick, 1000);
if (!("still" in main.dataset)) {
  live.hidden = false;
  announce("live");
  follow();
  listen();
  setInterval(() => pending !== null && update(pending), 1000);
}
