const model = await (await fetch("model")).json();
document.getElementById("title").textContent = model.name;
