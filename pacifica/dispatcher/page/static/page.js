"use strict";
// Keeps the page as the server has it, shows output as it comes, copies and finds. Without it, all works after a
// reload; what only a script can do is hidden then.

const PAUSE = 3000;
const MOST_SHOWN = 1024 * 1024; // characters of an output
const MOST_FOUND = 1000;
const SILENT = "the server does not answer; trying again";
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

function say(text) {
  if (live.textContent !== text) live.textContent = text;
}

// A list that grows at its top would move under a reader who has scrolled down.
function busy() {
  const selection = document.getSelection();
  const typing = document.activeElement && document.activeElement.closest("form.filters");
  const away = window.scrollY > 300 && document.getElementById("events");
  const selecting = document.querySelector("#together input:checked");
  return document.hidden || typing || away || selecting || (selection && !selection.isCollapsed);
}

// Change only what has changed, and move nothing: what is open, focused or scrolled stays as it is.
function renew(old, fresh) {
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
    while (next?.id && !ids.has(next.id)) next = without(next);
    const like = next && !next.id && next.nodeName === each.nodeName ? next : null;
    const mine = each.id ? old.querySelector(`:scope > #${CSS.escape(each.id)}`) : like;
    if (!mine) {
      old.insertBefore(each, next);
      continue;
    }
    if (mine === next) next = next.nextSibling;
    else old.insertBefore(mine, next);
    renew(mine, each);
  }
  while (next) next = without(next);
}

// Remove a node; give the one after it.
function without(node) {
  const next = node.nextSibling;
  node.remove();
  return next;
}

function take(html) {
  pending = html;
  if (busy()) {
    say("updates pause");
    return;
  }
  say("live");
  pending = null;
  if (html === shown) return;
  const fresh = document.createElement("main");
  fresh.innerHTML = html;
  shown = html;
  for (const { name, value } of main.attributes) fresh.setAttribute(name, value);
  renew(main, fresh);
  tick();
  follow();
}

async function poll() {
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (!answer.ok) throw new Error(answer.statusText);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    take(page.getElementById("main").innerHTML);
  } catch {
    say(SILENT);
  }
}

function listen() {
  if (!window.EventSource) {
    setInterval(() => document.hidden || poll(), PAUSE);
    return;
  }
  const changes = new EventSource(location.href);
  let failed = 0; // an answer that ends is no failure: the browser asks again
  changes.addEventListener("open", () => {
    failed = 0;
    if (pending === null) say("live");
  });
  changes.addEventListener("page", (message) => take(JSON.parse(message.data)));
  changes.addEventListener("error", () => {
    failed += 1;
    if (failed > 1) say(SILENT);
    if (changes.readyState === EventSource.CLOSED) setTimeout(listen, PAUSE);
  });
}

let source = null;
let followed = null; // the address of the output that comes by itself

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
    if (following()) output.scrollTop = output.scrollHeight;
    find();
  });
  source.addEventListener("end", ({ target }) => target.close());
  source.addEventListener("error", ({ target }) => {
    if (target === source && target.readyState === EventSource.CLOSED) followed = null;
  });
}

function following() {
  return document.getElementById("follow").checked;
}

// Where a text stands in the output, whatever the case of letters, and whatever colours it goes across.
let found = [];
let chosen = 0;

function find() {
  const form = document.getElementById("find");
  const wanted = form?.elements.find.value;
  found = wanted ? ranges(document.getElementById("output"), wanted) : [];
  chosen = Math.min(chosen, Math.max(0, found.length - 1));
  if (!form) return;
  const many = found.length === MOST_FOUND ? `${MOST_FOUND}+` : found.length;
  form.querySelector("output").value = !wanted ? "" : found.length ? `${chosen + 1} of ${many}` : "nothing";
  if (!window.Highlight) return;
  CSS.highlights.set("found", new Highlight(...found));
  CSS.highlights.set("chosen", new Highlight(...found.slice(chosen, chosen + 1)));
}

function ranges(output, wanted) {
  const pattern = new RegExp(wanted.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&"), "giu");
  const nodes = document.createTreeWalker(output, NodeFilter.SHOW_TEXT);
  let node = nodes.nextNode();
  let begin = 0; // of the node, in the whole text
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

// Show the next one; the end is not followed any more, or it would run away.
function next() {
  if (!found.length) return;
  document.getElementById("follow").checked = false;
  const output = document.getElementById("output");
  const place = found[chosen].getBoundingClientRect();
  output.scrollTop += place.top - output.getBoundingClientRect().top - output.clientHeight / 2;
}

async function copy(button) {
  const text = button.parentElement.querySelector("pre");
  try {
    await navigator.clipboard.writeText(text.textContent);
  } catch { // no clipboard but over https or on this machine
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
  say("live");
  follow();
  listen();
  setInterval(() => pending !== null && take(pending), 1000);
}
