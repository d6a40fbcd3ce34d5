// A button beside what is worth copying. Without this module nothing is missing but the button.

function legacy(text) {
  // Outside of HTTPS there is no clipboard but this one.
  const field = document.createElement("textarea");
  field.value = text;
  field.className = "ardiq-hidden";
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  return done;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return legacy(text);
  }
}

function add(code) {
  if (code.nextElementSibling?.classList.contains("ardiq-copy")) {
    return;
  }
  const button = document.createElement("button");
  button.type = "button";
  button.className = "button ardiq-copy";
  button.textContent = code.dataset.ardiqCopy;
  button.addEventListener("click", async () => {
    if (await copy(code.textContent)) {
      button.textContent = "\u2713 " + code.dataset.ardiqCopy;
    }
  });
  code.after(button);
}

function decorate() {
  document.querySelectorAll("[data-ardiq-copy]").forEach(add);
}

decorate();
// Parts of the page that live.js has put in have none yet.
document.addEventListener("ardiq:live", decorate);
