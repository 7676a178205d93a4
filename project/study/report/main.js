// Unpacks the data, and shows what the page is about.

const pages = {run: showRun, root: showRoot};

async function start() {
  Object.assign(data, await unpack(document.getElementById("data").textContent));
  pages[data.kind]?.();
}

start().catch((error) => {
  document.querySelector("main").prepend(el("p", {class: "problem"}, `Curves cannot be shown: ${error}`));
});
