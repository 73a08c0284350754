"use strict";
(() => {
  const list = document.querySelector(".answers"), none = document.querySelector(".none");
  const drop = document.querySelector(".drop"), input = document.querySelector("#photos");
  const area = document.querySelector("#area"), together = document.querySelector("#together");
  const said = document.querySelector(".said");
  const most = Number(list.dataset.most), photos = Number(list.dataset.photos);

  const card = (files) => {
    const item = document.querySelector("template").content.cloneNode(true).firstElementChild;
    const picture = item.querySelector("img");
    picture.src = URL.createObjectURL(files[0]);
    picture.addEventListener("error", () => { picture.hidden = true; });
    const title = files.length === 1 ? files[0].name : `${files[0].name} and ${files.length - 1} more`;
    item.querySelector("h3").textContent = title;
    item.querySelector(".verdict").textContent = `Searching ${area.value} ...`;
    item.classList.add("waiting");
    list.prepend(item);
    none.hidden = true;
    return item;
  };

  const fail = (item, text) => {
    item.classList.remove("waiting");
    item.classList.add("failed");
    item.querySelector(".verdict").textContent = text;
    said.textContent = text;
  };

  const show = (item, told) => {
    item.classList.remove("waiting");
    item.classList.add(told.verdict.kind);
    const verdict = item.querySelector(".verdict"), strong = document.createElement("b");
    strong.textContent = told.verdict.title;
    verdict.replaceChildren(strong, told.verdict.detail);
    for (const text of told.warnings) {
      item.querySelector(".warnings").append(Object.assign(document.createElement("li"), { textContent: text }));
    }
    for (const place of told.places) {
      const line = document.createElement("li"), rest = document.createElement("span");
      rest.textContent = ` ${place.looking}, ${place.percent}`;
      line.append(place.coordinates, rest);
      item.querySelector(".places").append(line);
    }
    item.querySelector(".region").textContent = told.region;
    const link = item.querySelector("a");
    link.href = told.page;
    link.setAttribute("aria-label", `Open the answer for ${told.title}`);
    item.querySelector(".folder").textContent = `Files: ${told.folder}`;
    said.textContent = `${told.title}: ${told.verdict.title}. ${told.places[0].coordinates}`;
  };

  const ask = async (files) => {
    const item = card(files), form = new FormData();
    const size = files.reduce((sum, file) => sum + file.size, 0);
    if (size > most) return fail(item, `Too large: drop at most ${most / 1e6} MB at a time.`);
    if (files.length > photos) return fail(item, `Too many photos: drop at most ${photos} photos of one place.`);
    for (const file of files) form.append("photo", file, file.name);

    try {
      const query = new URLSearchParams({ area: area.value });
      const answer = await fetch(`ask?${query}`, { method: "POST", body: form });
      const told = await answer.json();
      if (told.error) fail(item, told.error);
      else show(item, told);
    } catch {
      fail(item, "The witw server does not answer: start it again and open its new address.");
    }
  };

  const take = async (files) => {
    const some = [...files];
    if (!some.length) return;
    said.textContent = some.length === 1 ? `Searching for ${some[0].name} ...` : `Searching for ${some.length} photos ...`;
    if (together.checked) return ask(some);
    // A few at a time: the server locates one after the other.
    const next = async () => {
      for (let file = some.shift(); file; file = some.shift()) await ask([file]);
    };
    await Promise.all([next(), next()]);
  };

  input.addEventListener("change", () => { take(input.files); input.value = ""; });
  for (const kind of ["dragenter", "dragover"]) {
    drop.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
  }
  for (const kind of ["dragleave", "drop"]) {
    drop.addEventListener(kind, () => drop.classList.remove("over"));
  }
  drop.addEventListener("drop", (event) => { event.preventDefault(); take(event.dataTransfer.files); });
  // A photo dropped outside the field would replace the page.
  for (const kind of ["dragover", "drop"]) addEventListener(kind, (event) => event.preventDefault());
  document.querySelector(".ask").addEventListener("submit", (event) => event.preventDefault());
})();
