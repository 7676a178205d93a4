// A page of `report --serve`: asks now and then whether something has changed, and shows it. Provides: follow.

const POLL_SECONDS = 2;

// Follow the run or runs if the page is served. Only `data` and the content of elements with the attribute data-live
// are exchanged, so that what the user has chosen is kept; `before` and `after` are called around that.
function follow(before, after) {
  const lost = document.body.appendChild(el("p", {class: "lost", role: "status", hidden: true}));
  let {stamp} = document.getElementById("data").dataset, timer = null;
  if (!stamp) return;
  const update = async () => {
    const answer = await fetch("/"), text = await answer.text();
    if (!answer.ok) throw new Error(text);
    const page = new DOMParser().parseFromString(text, "text/html"), packed = page.getElementById("data");
    const fresh = await unpack(packed.textContent);
    before();
    for (const old of document.querySelectorAll("[data-live]")) exchange(old, page.getElementById(old.id));
    Object.assign(data, fresh);
    stamp = packed.dataset.stamp;
    after();
    redraw();
  };
  const ask = async () => {
    timer = null;
    try {
      const answer = await fetch("/stamp"), text = await answer.text();
      if (!answer.ok) throw new Error(text);
      if (text !== stamp) await update();
      lost.hidden = true;
    } catch (error) { // the server has ended, or a directory was deleted: it may come back
      lost.textContent = `Not updated: ${error.message}`;
      lost.hidden = false;
    }
    schedule();
  };
  const schedule = () => { if (!document.hidden && timer === null) timer = setTimeout(ask, POLL_SECONDS * 1000); };
  document.addEventListener("visibilitychange", () => {
    clearTimeout(timer);
    timer = null;
    if (!document.hidden) ask();
  });
  schedule();
}

// Replace what an element contains; parts that are open, scrolled or focused stay so.
function exchange(old, fresh) {
  const find = (names) => [...old.querySelectorAll(names)], scrolling = ".scroll, pre";
  const open = find("details").map((each) => each.open);
  const places = find(scrolling).map((each) => [each.scrollLeft, each.scrollTop]);
  const focused = find("button, summary, .scroll").indexOf(document.activeElement);
  old.replaceChildren(...(fresh?.childNodes ?? []));
  find("details").forEach((each, index) => { each.open = open[index] ?? each.open; });
  find(scrolling).forEach((each, index) => each.scrollTo(...(places[index] ?? [0, 0])));
  find("button, summary, .scroll")[focused]?.focus({preventScroll: true});
}
