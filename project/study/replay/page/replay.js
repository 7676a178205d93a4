// The page of replayed steps.

pages.replay = function showReplay() {
  for (const image of document.querySelectorAll(".cards img")) sharpen(image);
  for (const code of document.querySelectorAll("pre.command")) addCopy(code);
  const steps = [...document.querySelectorAll("article")];
  if (steps.length > 1) makeNavigation(steps);
  else steps.forEach(fillTables);
};

// Pixels of a small picture have edges.
function sharpen(image) {
  const check = () => image.classList.toggle("pixels", image.naturalWidth < 100);
  if (image.complete) check();
  else image.addEventListener("load", check);
}

// Tables are made when they are seen: a page may have many steps.
function fillTables(step) {
  if (step.dataset.filled) return;
  step.dataset.filled = "true";
  for (const table of step.querySelectorAll("table.long")) new LongTable(table);
}

// Show one step at a time: that of the address, or the first.
function makeNavigation(steps) {
  const links = steps.map((step) => document.querySelector(`.overview a[href="#${step.id}"]`));
  const nav = document.getElementById("steps");
  const go = (index) => { location.hash = steps[index].id; };
  const current = () => Math.max(0, steps.findIndex((step) => `#${step.id}` === location.hash));
  const previous = el("button", {class: "small", type: "button", onclick: () => go(current() - 1)}, "← previous step");
  const next = el("button", {class: "small", type: "button", onclick: () => go(current() + 1)}, "next step →");
  const place = el("output");
  nav.append(el("div", {class: "controls"}, previous, place, next));
  const show = () => {
    const index = current();
    steps.forEach((step, other) => { step.hidden = other !== index; });
    links.forEach((link, other) => {
      if (other === index) link.setAttribute("aria-current", "step");
      else link.removeAttribute("aria-current");
    });
    previous.disabled = index === 0;
    next.disabled = index === steps.length - 1;
    place.textContent = `${index + 1} of ${steps.length}`;
    fillTables(steps[index]);
  };
  addEventListener("hashchange", show);
  // Keys belong to fields and scrolling elements while they have the focus.
  document.addEventListener("keydown", (event) => {
    if (event.target !== document.body && !nav.contains(event.target)) return;
    const index = current() + ({ArrowLeft: -1, ArrowRight: 1}[event.key] ?? 0);
    if (index !== current() && steps[index]) go(index);
  });
  show();
}

function addCopy(block) {
  const button = el("button", {class: "small", type: "button", onclick: async () => {
    try {
      await navigator.clipboard.writeText(block.textContent);
      button.textContent = "copied";
    } catch {
      // Some browsers do not let files write to the clipboard.
      getSelection().selectAllChildren(block);
      button.textContent = "selected";
    }
  }}, "copy");
  block.after(button);
}
