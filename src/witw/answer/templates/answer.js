"use strict";
(() => {
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const said = document.querySelector(".said");

  const start = (section) => {
    const data = JSON.parse(section.querySelector("script").textContent);
    const { rows, columns } = data;
    const heat = bytes(data.heat), entry = bytes(data.entry), colours = bytes(data.colours);
    const canvas = section.querySelector("canvas");
    const slider = section.querySelector("input");
    const told = section.querySelector("output");
    const scroll = section.querySelector(".scroll");
    const sight = section.querySelector(".sight path");
    const marks = [...section.querySelectorAll(".mark")];
    const places = [...section.querySelectorAll("details")];
    const size = Math.max(1, Math.min(12, Math.floor(1500 / Math.max(rows, columns))));
    const small = document.createElement("canvas");
    [small.width, small.height] = [columns, rows];
    [canvas.width, canvas.height] = [columns * size, rows * size];

    const draw = () => {
      const level = Number(slider.value);
      const picture = new ImageData(columns, rows);
      const inside = (row, column) =>
        row >= 0 && column >= 0 && row < rows && column < columns && entry[row * columns + column] < level;
      for (let i = 0; i < entry.length; i++) {
        if (entry[i] < level) {
          picture.data.set(colours.subarray(4 * heat[i], 4 * heat[i] + 4), 4 * i);
        }
      }
      small.getContext("2d").putImageData(picture, 0, 0);
      const context = canvas.getContext("2d");
      context.clearRect(0, 0, canvas.width, canvas.height);
      context.imageSmoothingEnabled = false;
      context.drawImage(small, 0, 0, canvas.width, canvas.height);
      if (size > 1) {
        const edge = new Path2D();
        for (let row = 0; row < rows; row++) {
          for (let column = 0; column < columns; column++) {
            if (!inside(row, column)) continue;
            const x = column * size, y = row * size;
            if (!inside(row - 1, column)) { edge.moveTo(x, y); edge.lineTo(x + size, y); }
            if (!inside(row + 1, column)) { edge.moveTo(x, y + size); edge.lineTo(x + size, y + size); }
            if (!inside(row, column - 1)) { edge.moveTo(x, y); edge.lineTo(x, y + size); }
            if (!inside(row, column + 1)) { edge.moveTo(x + size, y); edge.lineTo(x + size, y + size); }
          }
        }
        context.lineWidth = Math.max(1.5, size / 4);
        context.strokeStyle = "rgb(15 23 42 / .75)";
        context.stroke(edge);
        context.lineWidth = Math.max(.8, size / 8);
        context.strokeStyle = "rgb(255 255 255 / .9)";
        context.stroke(edge);
      }
      const text = data.levels[level];
      told.textContent = text;
      canvas.setAttribute("aria-label", `Where the photo may have been taken. Region of ${text}`);
      slider.setAttribute("aria-valuetext", text);
    };

    const look = (mark) => {
      if (!mark || mark.dataset.heading === "") { sight.setAttribute("d", ""); return; }
      const aspect = columns / rows, reach = 9;
      const [x, y] = [parseFloat(mark.style.left), parseFloat(mark.style.top)];
      const [turn, half] = [Number(mark.dataset.heading), Math.min(Number(mark.dataset.view), 178) / 2];
      const at = (degrees) => {
        const angle = degrees * Math.PI / 180;
        return `${x + reach * Math.sin(angle)} ${y - reach * aspect * Math.cos(angle)}`;
      };
      const wide = 2 * half > 180 ? 1 : 0;
      sight.setAttribute("d", `M${x} ${y}L${at(turn - half)}A${reach} ${reach * aspect} 0 ${wide} 1 ${at(turn + half)}Z`);
    };

    let printing = false;
    const choose = (rank) => {
      for (const mark of marks) {
        if (mark.dataset.rank === rank) mark.setAttribute("aria-current", "true");
        else mark.removeAttribute("aria-current");
      }
      look(marks.find((mark) => mark.dataset.rank === rank));
    };
    for (const place of places) {
      place.addEventListener("toggle", () => {
        if (printing || !place.open) return;
        for (const other of places) if (other !== place) other.open = false;
        choose(place.dataset.rank);
      });
    }
    for (const mark of marks) {
      mark.addEventListener("click", () => {
        const place = places.find((one) => one.dataset.rank === mark.dataset.rank);
        place.open = true;
        choose(mark.dataset.rank);
        place.scrollIntoView({ block: "nearest" });
      });
    }
    for (const button of section.querySelectorAll(".copy")) {
      button.addEventListener("click", async () => {
        const text = button.dataset.text;
        let done = true;
        try {
          await navigator.clipboard.writeText(text);
        } catch {
          const field = document.createElement("textarea");
          field.value = text;
          button.after(field);
          field.select();
          done = document.execCommand("copy");
          field.remove();
          button.focus();
        }
        button.textContent = done ? "Copied" : text;
        said.textContent = done ? `Copied ${text}` : text;
      });
    }
    const zoom = (factor) => {
      const before = Number(scroll.style.getPropertyValue("--zoom") || 1);
      const after = Math.min(16, Math.max(1, before * factor));
      const middle = [scroll.scrollLeft + scroll.clientWidth / 2, scroll.scrollTop + scroll.clientHeight / 2];
      const mark = marks.find((one) => one.hasAttribute("aria-current"));
      scroll.style.setProperty("--zoom", after);
      const ratio = after / before;
      let [x, y] = middle.map((value) => value * ratio);
      if (factor > 1 && before === 1 && mark) [x, y] = [mark.offsetLeft + 18, mark.offsetTop + 18];
      scroll.scrollTo(x - scroll.clientWidth / 2, y - scroll.clientHeight / 2);
    };
    section.querySelector(".in").addEventListener("click", () => zoom(2));
    section.querySelector(".out").addEventListener("click", () => zoom(.5));
    slider.addEventListener("input", draw);
    let open = [];
    const unfold = () => {
      printing = true;
      open = places.map((place) => place.open);
      for (const place of places) place.open = true;
    };
    addEventListener("beforeprint", unfold);
    if (matchMedia("print").matches) unfold();
    addEventListener("afterprint", () => {
      places.forEach((place, n) => { place.open = open[n]; });
      setTimeout(() => { printing = false; });
    });
    draw();
    choose("1");
  };

  // Maps are drawn when they scroll into view, so a page of many answers opens at once.
  const waiting = new Set(document.querySelectorAll(".answer"));
  const begin = (section) => {
    if (waiting.delete(section)) start(section);
  };
  const watch = new IntersectionObserver((seen) => {
    for (const one of seen) if (one.isIntersecting) begin(one.target);
  }, { rootMargin: "400px" });
  for (const section of waiting) watch.observe(section);
  addEventListener("beforeprint", () => waiting.forEach(begin));
})();
