// Keeps parts of a page up to date: asks for the page again and puts what has changed in its place. Without this
// module the page is as good as it was when it was loaded, and its Refresh link works.

const script = document.querySelector("script[data-ardiq-live]");
// On the page which says that the server is away, and until it is not: the address to go to then.
const away = document.querySelector("[data-ardiq-again]")?.dataset.ardiqAgain;
const selector = away ? "[data-ardiq-again]" : script.dataset.ardiqLive;
const every = Math.max(2, Number(script.dataset.every)) * 1000;
const SWITCH = "ardiq-live-off";
const LONGEST = 60_000;

let delay = every;
let timer = 0;
let tag = "";
let asking = false;
let staleSince = "";
let waiting = null; // a newer page that would move rows under the pointer

const bar = document.createElement("p");
bar.className = "ardiq-live";
const label = document.createElement("label");
const box = document.createElement("input");
box.type = "checkbox";
const state = document.createElement("span");
state.setAttribute("role", "status");
state.setAttribute("aria-live", "polite");
label.append(box, " ", script.dataset.live);
bar.append(label, " ", state);

function regions(page) {
  return [...page.querySelectorAll(selector)];
}

function tables(page) {
  return regions(page).flatMap((region) => [...region.querySelectorAll("table")]);
}

// The keys of what a table shows, in order: the addresses of its rows.
function rows(table) {
  return table ? [...table.querySelectorAll("tbody th a[href]")].map((link) => link.getAttribute("href")) : [];
}

// The number of the table that the pointer is on, -1 for none.
function pointed() {
  return tables(document).findIndex((table) => table.matches(":hover"));
}

// Whether somebody is at work in there: what they look at, mark or write must stay as it is.
function busy() {
  if (away) {
    return false;
  }
  const marked = getSelection();
  return (
    (!marked.isCollapsed && regions(document).some((region) => marked.containsNode(region, true))) ||
    document.querySelector("#changelist .action-select:checked") !== null ||
    regions(document).some((region) => region.contains(document.activeElement) && document.activeElement !== region)
  );
}

function tell(text, act) {
  state.replaceChildren();
  if (act) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "button";
    button.textContent = text;
    button.addEventListener("click", act);
    state.append(button);
  } else if (state.textContent !== text) {
    state.textContent = text;
  }
}

function swap(page) {
  const here = regions(document);
  const fresh = regions(page);
  if (!fresh.length || fresh.some((next, number) => here[number] && next.id !== here[number].id)) {
    // The list is empty by now, or no longer, or the job has ended: another page than this one.
    location.reload();
    return;
  }
  here.forEach((region, number) => {
    const next = fresh[number];
    if (!next || next.innerHTML === region.innerHTML) {
      return;
    }
    const open = [...region.querySelectorAll("details")].map((one) => one.open);
    region.replaceChildren(...[...next.childNodes].map((node) => document.importNode(node, true)));
    region.querySelectorAll("details").forEach((one, at) => {
      one.open = open[at] ?? one.open;
    });
  });
  waiting = null;
  tell("");
  document.dispatchEvent(new CustomEvent("ardiq:live"));
}

// Puts a newer page in place, unless rows would move under the pointer: then somebody has to ask for it, or to
// move the pointer away.
function offer(page) {
  const at = pointed();
  const before = rows(tables(document)[at]);
  const after = rows(tables(page)[at]);
  const known = new Set(before);
  const newer = after.filter((row) => !known.has(row)).length;
  if (before.some((row, place) => row !== after[place])) {
    waiting = page;
    tell(newer ? script.dataset.newer.replace("%s", newer) : script.dataset.moved, () => swap(waiting));
  } else {
    swap(page);
  }
}

function stale() {
  delay = Math.min(delay * 2, LONGEST);
  staleSince ||= new Date().toLocaleTimeString(document.documentElement.lang || undefined);
  tell(script.dataset.stale.replace("%s", staleSince));
}

function signIn() {
  stop();
  tell(script.dataset.again, () => location.reload());
}

// Whether the server is still away; if so, since when and why, which may have changed.
async function wait(answer) {
  if (answer.status < 500) {
    // No reload: the page may be the answer to a form, which must not be sent again.
    location.replace(away);
    return;
  }
  const page = await parsed(answer);
  if (!regions(page).length) {
    throw new Error(answer.status); // of something in front of the site
  }
  staleSince = "";
  delay = Math.max(every, 1000 * Number(answer.headers.get("Retry-After")));
  swap(page);
}

async function parsed(answer) {
  return new DOMParser().parseFromString(await answer.text(), "text/html");
}

async function ask() {
  const address = new URL(away || location.href, location.href);
  address.searchParams.set("_live", "1");
  const headers = tag ? { "If-None-Match": tag } : {};
  const answer = await fetch(address, { headers, redirect: "manual", cache: "no-store", credentials: "same-origin" });
  if (away) {
    await wait(answer);
    return;
  }
  if (answer.type === "opaqueredirect" || answer.status === 401 || answer.status === 403) {
    signIn();
    return;
  }
  if (answer.status !== 200 && answer.status !== 304) {
    throw new Error(answer.status);
  }
  delay = every;
  if (staleSince) {
    staleSince = "";
    tell("");
  }
  if (answer.status === 200) {
    tag = answer.headers.get("ETag") || "";
    const page = await parsed(answer);
    // Somebody may have begun to do something while the answer was on its way.
    if (busy()) {
      tag = "";
    } else {
      offer(page);
    }
  } else if (waiting && pointed() < 0 && !busy()) {
    swap(waiting);
  }
}

async function look() {
  if (asking || document.hidden || busy()) {
    return;
  }
  asking = true;
  try {
    await ask();
  } catch {
    stale();
  } finally {
    asking = false;
  }
}

function next() {
  clearTimeout(timer);
  timer = setTimeout(async () => {
    await look();
    if (box.checked) {
      next();
    }
  }, delay);
}

function stop() {
  clearTimeout(timer);
  box.checked = false;
}

box.addEventListener("change", () => {
  try {
    localStorage.setItem(SWITCH, box.checked ? "" : "1");
  } catch {
    // Without storage the switch holds for this page.
  }
  delay = every;
  tell("");
  if (box.checked) {
    next();
  } else {
    clearTimeout(timer);
  }
});

document.addEventListener("visibilitychange", () => {
  if (!document.hidden && box.checked) {
    look().then(next);
  }
});

const first = regions(document)[0];
if (first) {
  let off = "";
  try {
    off = localStorage.getItem(SWITCH);
  } catch {
    off = "";
  }
  box.checked = !off;
  (document.querySelector("[data-ardiq-live-bar]") || first).before(bar);
  if (box.checked) {
    next();
  }
}
