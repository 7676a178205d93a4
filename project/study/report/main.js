// Unpacks the data, and shows what the page is about.

async function start() {
  Object.assign(data, await unpack(document.getElementById("data").textContent));
  pages[data.kind]?.();
}

start().catch((error) => {
  document.querySelector("main").prepend(el("p", {class: "problem"}, `A part of the page cannot be shown: ${error}`));
});
