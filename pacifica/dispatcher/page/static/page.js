"use strict";
// Keeps the page as the server has it, and shows output as it comes. Without it, all works after a reload.

const PAUSE = 3000;
const SILENT = "the server does not answer; trying again";
const UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
const live = document.getElementById("live");
const main = document.getElementById("main");
let shown = main.innerHTML;
let pending = null;

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
  if (old.id === "output" && fresh.dataset.output === followed) return;
  for (const { name, value } of [...fresh.attributes]) {
    if (name !== "open" && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  for (const { name } of [...old.attributes]) {
    if (name !== "open" && !fresh.hasAttribute(name)) old.removeAttribute(name);
  }
  const ids = new Set([...fresh.children].map((each) => each.id));
  let next = old.firstChild;
  for (const each of [...fresh.childNodes]) {
    while (next?.id && !ids.has(next.id)) next = following(next);
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
  while (next) next = following(next);
}

// Remove a node; give the one after it.
function following(node) {
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
  source = new EventSource(followed);
  let first = true;
  source.addEventListener("output", (message) => {
    const { text } = JSON.parse(message.data);
    const atEnd = output.scrollTop + output.clientHeight >= output.scrollHeight - 20;
    if (first) output.textContent = "";
    first = false;
    output.append(text);
    if (atEnd) output.scrollTop = output.scrollHeight;
  });
  source.addEventListener("end", ({ target }) => target.close());
  source.addEventListener("error", ({ target }) => {
    if (target === source && target.readyState === EventSource.CLOSED) followed = null;
  });
}

document.addEventListener("change", ({ target }) => {
  if (target.id === "wrap") document.getElementById("output").classList.toggle("wrap", target.checked);
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
