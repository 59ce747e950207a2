"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const files = data.files;
  const byId = (id) => document.getElementById(id);
  const [stage, canvas, ring, tip, card, query] = ["stage", "canvas", "ring", "tip", "card", "query"].map(byId);
  const brush = canvas.getContext("2d");
  const GREY = 8;
  const MARGIN = 48;
  const SIDE = 76; // no dot lies below the buttons
  const MOST_ZOOM = 60;
  const HITS = 8;
  const FAINT = 0.1;

  const byRank = files.map((_, index) => index).sort((a, b) => files[a].rank - files[b].rank);
  const bySize = files.map((_, index) => index).sort((a, b) => files[b].lines - files[a].lines);
  const words = files.map((file) => `${file.path}\n${file.doc}`.toLowerCase());
  const crowd = Math.min(2, (700 / Math.max(files.length, 1)) ** 0.25);
  const sizes = files.map((file) => crowd * (1.8 + 0.16 * Math.min(Math.sqrt(file.lines), 70)));

  // As long as it takes to tell a file from others: its name, or also its folder's.
  const tail = (file, length) => file.path.split("/").slice(-length).join("/");
  const times = new Map();
  for (const file of files) times.set(tail(file, 1), (times.get(tail(file, 1)) ?? 0) + 1);
  const names = files.map((file) => tail(file, times.get(tail(file, 1)) > 1 ? 2 : 1));

  const state = {
    colour: document.querySelector("input[name=colour]:checked").value,
    only: new Set(),
    words: [],
    chosen: -1,
    hovered: -1,
    zoom: 1,
    x: 0,
    y: 0,
  };
  let width = 0;
  let height = 0;
  let scale = 1;
  let grain = 1;
  let theme = {};
  let waiting = false;

  // What is shown

  const groupOf = (index) => files[index][state.colour];
  const isShown = (index) => state.only.size === 0 || state.only.has(groupOf(index));
  const isFound = (index) => state.words.every((word) => words[index].includes(word));
  const isLit = (index) => isShown(index) && isFound(index);
  const colourOf = (group) => theme.colours[Math.min(group, GREY)];
  // Where it is

  const placeOf = (index) => [
    width / 2 + (files[index].x - state.x) * scale * state.zoom,
    height / 2 - (files[index].y - state.y) * scale * state.zoom,
  ];
  const radiusOf = (index) => sizes[index] * grain * state.zoom ** 0.4;

  function fit() {
    const box = stage.getBoundingClientRect();
    const density = window.devicePixelRatio || 1;
    width = box.width;
    height = box.height;
    canvas.width = Math.round(width * density);
    canvas.height = Math.round(height * density);
    brush.setTransform(density, 0, 0, density, 0, 0);
    const reach = files.reduce((most, file) => [Math.max(most[0], Math.abs(file.x)), Math.max(most[1], Math.abs(file.y))], [0.2, 0.2]);
    scale = Math.max(1, Math.min((width / 2 - SIDE) / reach[0], (height / 2 - MARGIN) / reach[1]));
    grain = Math.min(1.2, Math.max(0.6, scale / 400));
    draw();
  }

  function zoomBy(factor, x = width / 2, y = height / 2) {
    const zoom = Math.min(MOST_ZOOM, Math.max(1, state.zoom * factor));
    const [dx, dy] = [(x - width / 2) / scale, (y - height / 2) / scale];
    state.x += dx / state.zoom - dx / zoom;
    state.y -= dy / state.zoom - dy / zoom;
    state.zoom = zoom;
    keepInSight();
  }

  function keepInSight() {
    const within = (value) => Math.min(1, Math.max(-1, value));
    [state.x, state.y] = state.zoom === 1 ? [0, 0] : [within(state.x), within(state.y)];
    draw();
  }

  function show(index) {
    const [x, y] = placeOf(index);
    if (x < MARGIN || y < MARGIN || x > width - MARGIN || y > height - MARGIN) {
      [state.x, state.y] = [files[index].x, files[index].y];
      keepInSight();
    }
  }

  function fileAt(x, y) {
    let best = -1;
    let least = 6;
    for (let index = 0; index < files.length; index += 1) {
      if (isLit(index)) {
        const [px, py] = placeOf(index);
        const distance = Math.hypot(px - x, py - y) - radiusOf(index);
        // Of dots that lie on each other, the smaller one is in front.
        if (distance < least || (distance <= 0 && least <= 0 && sizes[index] < sizes[best])) {
          [best, least] = [index, distance];
        }
      }
    }
    return best;
  }

  // Drawing

  function draw() {
    if (!waiting) {
      waiting = true;
      requestAnimationFrame(paint);
    }
  }

  function paint() {
    waiting = false;
    brush.clearRect(0, 0, width, height);
    const isOutlined = files.length <= 8000;
    for (const index of bySize) {
      const [x, y] = placeOf(index);
      const radius = radiusOf(index);
      if (x < -radius || y < -radius || x > width + radius || y > height + radius) continue;
      brush.globalAlpha = isLit(index) ? 0.88 : FAINT;
      brush.fillStyle = colourOf(groupOf(index));
      brush.beginPath();
      brush.arc(x, y, radius, 0, 2 * Math.PI);
      brush.fill();
      if (isOutlined && isLit(index)) {
        brush.globalAlpha = 0.7;
        brush.strokeStyle = theme.paper;
        brush.lineWidth = 0.8;
        brush.stroke();
      }
    }
    brush.globalAlpha = 1;
    drawNeighbours(state.hovered >= 0 ? state.hovered : state.chosen);
    drawLabels();
    placeRing();
    placeTip();
  }

  function drawNeighbours(index) {
    if (index < 0) return;
    const [x, y] = placeOf(index);
    brush.strokeStyle = theme.ink;
    brush.lineWidth = 1;
    brush.globalAlpha = 0.45;
    for (const [other] of files[index].nearest) {
      brush.beginPath();
      brush.moveTo(x, y);
      brush.lineTo(...placeOf(other));
      brush.stroke();
    }
    brush.globalAlpha = 1;
  }

  function drawLabels() {
    const most = Math.min(90, Math.max(6, Math.round((width * height) / 17000)));
    const isSearching = state.words.length > 0 || state.only.size > 0;
    const { offsetLeft, offsetTop } = document.querySelector(".zoom");
    const taken = [[offsetLeft, offsetTop, width, height]];
    brush.font = `500 11.5px ${theme.sans}`;
    brush.textBaseline = "middle";
    brush.lineJoin = "round";
    const first = [state.hovered, state.chosen].filter((index) => index >= 0);
    for (const index of [...first, ...byRank]) {
      if (taken.length > most) break;
      const [x, y] = placeOf(index);
      if (x < 0 || y < 8 || x > width || y > height - 8) continue;
      const isFirst = first.includes(index);
      if (!isFirst && isSearching && !isLit(index)) continue;
      const text = names[index];
      const length = brush.measureText(text).width;
      const right = x + radiusOf(index) + 4;
      const left = right + length > width - 4 ? x - radiusOf(index) - 4 - length : right;
      if (left < 4 && !isFirst) continue;
      // Labels keep away from each other, so that all parts of the map get some.
      const box = [left - 26, y - 15, left + length + 26, y + 15];
      if (!isFirst && taken.some((other) => box[0] < other[2] && other[0] < box[2] && box[1] < other[3] && other[1] < box[3])) continue;
      taken.push(box);
      brush.strokeStyle = theme.paper;
      brush.lineWidth = 3.5;
      brush.globalAlpha = 0.85;
      brush.strokeText(text, left, y);
      brush.globalAlpha = 1;
      brush.fillStyle = theme.ink;
      brush.fillText(text, left, y);
    }
  }

  function placeRing() {
    ring.hidden = state.chosen < 0;
    if (state.chosen >= 0) {
      const [x, y] = placeOf(state.chosen);
      const size = 2 * radiusOf(state.chosen) + 9;
      Object.assign(ring.style, { left: `${x}px`, top: `${y}px`, width: `${size}px`, height: `${size}px` });
    }
  }

  function placeTip() {
    tip.hidden = state.hovered < 0;
    if (state.hovered >= 0) {
      const [x, y] = placeOf(state.hovered);
      const away = radiusOf(state.hovered) + 10;
      const { offsetWidth, offsetHeight } = tip;
      const left = Math.min(Math.max(8, x - offsetWidth / 2), width - offsetWidth - 8);
      const top = y + away + offsetHeight < height - 8 ? y + away : y - away - offsetHeight;
      Object.assign(tip.style, { left: `${left}px`, top: `${Math.max(8, top)}px` });
    }
  }

  // Words beside it

  function element(tag, text = "", className = "") {
    const made = document.createElement(tag);
    made.textContent = text;
    made.className = className;
    return made;
  }

  const counted = (count, what) => `${count.toLocaleString("en")} ${what}${count === 1 ? "" : "s"}`;

  function factsOf(file) {
    const facts = `${data.languages[file.language]}, ${counted(file.lines, "line")}`;
    return [element("p", facts, "quiet"), ...(file.doc ? [element("p", file.doc)] : [])];
  }

  function fileButton(index, note = "") {
    const item = element("li");
    const button = element("button");
    button.type = "button";
    button.append(element("span", files[index].path, "name"), element("span", note, "count"));
    button.addEventListener("click", () => choose(index));
    item.append(button);
    return item;
  }

  function describeChosen() {
    card.hidden = state.chosen < 0;
    card.replaceChildren();
    if (state.chosen < 0) return;
    const file = files[state.chosen];
    const resonance = element("p", `resonance ${file.resonance.toFixed(3)} with all files`, "quiet");
    const nearest = element("ul");
    nearest.append(...file.nearest.map(([other, cosine]) => fileButton(other, cosine.toFixed(2))));
    card.append(element("h2", file.path, "name"), ...factsOf(file), resonance);
    if (file.nearest.length) card.append(element("h3", "Nearest, by cosine"), nearest);
  }

  function describeFound() {
    const found = state.words.length ? byRank.filter(isLit) : [];
    byId("matches").textContent = state.words.length ? `${counted(found.length, "file")} found` : "";
    byId("hits").replaceChildren(...found.slice(0, HITS).map((index) => fileButton(index)));
  }

  function describeGroups() {
    const groups = state.colour === "folder" ? data.folders : data.languages;
    const counts = groups.map(() => 0);
    for (const file of files) counts[file[state.colour]] += 1;
    byId("legend").replaceChildren(
      ...groups.map((name, group) => {
        const item = element("li");
        const button = element("button");
        const swatch = element("span", "", "swatch");
        button.type = "button";
        button.setAttribute("aria-pressed", state.only.has(group));
        swatch.style.background = `var(--c${Math.min(group, GREY)})`;
        button.append(swatch, element("span", name, "name"), element("span", counts[group].toLocaleString("en"), "count"));
        button.addEventListener("click", () => {
          if (!state.only.delete(group)) state.only.add(group);
          button.setAttribute("aria-pressed", state.only.has(group));
          describeFound();
          draw();
        });
        item.append(button);
        return item;
      }),
    );
  }

  // What changes it

  function choose(index) {
    state.chosen = index;
    state.hovered = -1;
    describeChosen();
    if (index >= 0) show(index);
    remember();
    draw();
  }

  function hover(index) {
    if (index === state.hovered) return;
    state.hovered = index;
    canvas.classList.toggle("over", index >= 0);
    if (index >= 0) tip.replaceChildren(element("p", files[index].path, "name"), ...factsOf(files[index]));
    draw();
  }

  function search(text) {
    state.words = text.toLowerCase().split(/\s+/).filter(Boolean);
    describeFound();
    draw();
  }

  function colourBy(what) {
    state.colour = what;
    state.only.clear();
    describeGroups();
    describeFound();
    draw();
  }

  // The address remembers it: #query=…&colour=language&file=…
  function remember() {
    const parts = new URLSearchParams();
    if (query.value) parts.set("query", query.value);
    parts.set("colour", state.colour);
    if (state.chosen >= 0) parts.set("file", files[state.chosen].path);
    history.replaceState(null, "", `#${parts}`);
  }

  function recall() {
    const parts = new URLSearchParams(location.hash.slice(1));
    const radio = [...document.querySelectorAll("input[name=colour]")].find((each) => each.value === parts.get("colour"));
    if (radio) radio.checked = true;
    query.value = parts.get("query") ?? "";
    colourBy(radio ? radio.value : state.colour);
    search(query.value);
    state.chosen = files.findIndex((file) => file.path === parts.get("file"));
    describeChosen();
    if (state.chosen >= 0) show(state.chosen);
  }

  function step(dx, dy) {
    const from = state.chosen >= 0 ? state.chosen : byRank.find(isLit) ?? -1;
    if (from < 0 || state.chosen < 0) return choose(from);
    const [x, y] = placeOf(from);
    let best = from;
    let least = Infinity;
    for (let index = 0; index < files.length; index += 1) {
      const [px, py] = placeOf(index);
      const along = (px - x) * dx + (py - y) * dy;
      const across = Math.abs((px - x) * dy) + Math.abs((py - y) * dx);
      // What is ahead rather than beside.
      if (index !== from && isLit(index) && along > 0 && across <= 2 * along && along + 2 * across < least) {
        [best, least] = [index, along + 2 * across];
      }
    }
    return choose(best);
  }

  const keys = {
    ArrowLeft: () => step(-1, 0),
    ArrowRight: () => step(1, 0),
    ArrowUp: () => step(0, -1),
    ArrowDown: () => step(0, 1),
    "+": () => zoomBy(1.5),
    "=": () => zoomBy(1.5),
    "-": () => zoomBy(1 / 1.5),
    0: () => zoomBy(0),
    Escape: () => choose(-1),
  };

  canvas.addEventListener("keydown", (event) => {
    if (event.key in keys && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      keys[event.key]();
    }
  });

  const fingers = new Map();
  let hasMoved = false;

  const pointOf = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };

  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    hasMoved = fingers.size > 0;
    fingers.set(event.pointerId, pointOf(event));
  });

  canvas.addEventListener("pointermove", (event) => {
    const point = pointOf(event);
    const before = fingers.get(event.pointerId);
    if (!before) {
      hover(fileAt(...point));
      return;
    }
    if (!hasMoved && Math.hypot(point[0] - before[0], point[1] - before[1]) < 4) return;
    hasMoved = true;
    canvas.classList.add("dragging");
    hover(-1);
    const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1];
    if (other) {
      const apart = (a, b) => Math.max(1, Math.hypot(a[0] - b[0], a[1] - b[1]));
      zoomBy(apart(point, other) / apart(before, other), (point[0] + other[0]) / 2, (point[1] + other[1]) / 2);
    } else {
      state.x -= (point[0] - before[0]) / scale / state.zoom;
      state.y += (point[1] - before[1]) / scale / state.zoom;
      keepInSight();
    }
    fingers.set(event.pointerId, point);
  });

  const letGo = (event) => {
    fingers.delete(event.pointerId);
    canvas.classList.remove("dragging");
  };

  canvas.addEventListener("pointerup", (event) => {
    letGo(event);
    if (!hasMoved) choose(fileAt(...pointOf(event)));
  });
  canvas.addEventListener("pointercancel", letGo);
  canvas.addEventListener("pointerleave", () => hover(-1));
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoomBy(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0016)), ...pointOf(event));
  }, { passive: false });

  byId("in").addEventListener("click", () => zoomBy(1.5));
  byId("out").addEventListener("click", () => zoomBy(1 / 1.5));
  byId("all").addEventListener("click", () => zoomBy(0));

  query.addEventListener("input", () => {
    search(query.value);
    remember();
  });
  query.addEventListener("keydown", (event) => {
    const found = state.words.length ? byRank.filter(isLit) : [];
    if (event.key === "Enter" && found.length) choose(found[(found.indexOf(state.chosen) + 1) % found.length]);
  });
  for (const radio of document.querySelectorAll("input[name=colour]")) {
    radio.addEventListener("change", () => {
      colourBy(radio.value);
      remember();
    });
  }

  function dress() {
    const styles = getComputedStyle(document.documentElement);
    const value = (name) => styles.getPropertyValue(name).trim();
    theme = {
      colours: Array.from({ length: GREY + 1 }, (_, index) => value(`--c${index}`)),
      ink: value("--ink"),
      paper: value("--paper"),
      sans: value("--sans"),
    };
    draw();
  }

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", dress);
  addEventListener("hashchange", recall);
  new ResizeObserver(fit).observe(stage);
  byId("empty").hidden = files.length > 0;
  dress();
  fit();
  recall();
})();
