// Pictures by epoch. Provides: showPictures.

// Give each `figure.slider` a slider over `data.pictures[name]`, a list of {name, source}; it has the last one.
function showPictures() {
  for (const figure of document.querySelectorAll("figure.slider")) {
    const pictures = data.pictures[figure.dataset.name] ?? [];
    const image = figure.querySelector("img"), caption = figure.querySelector("figcaption");
    if (pictures.length < 2) continue;
    const show = (index) => {
      image.src = pictures[index].source;
      image.alt = `${figure.dataset.name}, ${pictures[index].name}`;
      slider.setAttribute("aria-valuetext", caption.textContent = pictures[index].name);
    };
    const slider = el("input", {type: "range", min: 0, max: pictures.length - 1, value: pictures.length - 1,
      "aria-label": `epoch of the pictures of ${figure.dataset.name}`, oninput: (event) => show(+event.target.value)});
    figure.prepend(el("div", {class: "controls"}, slider));
  }
}
