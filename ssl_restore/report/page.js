"use strict";

// A picture: what is shown of it, how large, and where the line stands.
function viewer(picture) {
  const find = (selector) => picture.querySelector(selector);
  const [frame, stage, sheet, before, line] =
    [".frame", ".stage", ".sheet", ".before", ".line"].map(find);
  const [range, output] = [find(".split input"), find("output")];
  const width = Number(picture.dataset.width);
  const height = Number(picture.dataset.height);
  let scale = 0; // CSS pixels of a pixel; 0: as wide as the page

  const pixel = () => 1 / window.devicePixelRatio;
  const fitting = () => Math.min(stage.clientWidth / width, (0.82 * window.innerHeight) / height, 2);
  const current = () => scale || fitting();
  const movable = () => picture.classList.contains("show-slider");

  // The visible part of the picture, from left to right, in places of the window.
  function visible() {
    const [whole, area] = [sheet, stage].map((element) => element.getBoundingClientRect());
    const right = area.left + stage.clientWidth;
    return [Math.max(whole.left, area.left), Math.min(whole.right, right), whole, area];
  }

  // The line stands at a share of the visible part, and the picture is cut there.
  function cut() {
    const [start, end, whole, area] = visible();
    const x = start + ((end - start) * range.value) / 100;
    before.style.clipPath = movable() ? `inset(0 ${whole.right - x}px 0 0)` : "";
    line.style.left = `${x - area.left}px`;
    frame.style.setProperty("--start", `${start - area.left}px`);
    frame.style.setProperty("--end", `${area.right - end}px`);
    frame.classList.toggle("narrow", end - start < 160);
  }

  function moveLine(event) {
    const [start, end] = visible();
    range.value = (100 * (event.clientX - start)) / (end - start);
    cut();
  }

  function layOut() {
    sheet.style.width = `${width * current()}px`;
    sheet.style.height = `${height * current()}px`;
    picture.classList.toggle("zoomed", current() > 1.001 * fitting());
    picture.classList.toggle("large", current() >= 3 * pixel());
    output.value = `${Math.round((100 * current()) / pixel())} %`;
    cut();
  }

  // To a scale, while the place (x, y) of the window stays where it is.
  function zoom(to, x, y) {
    const area = stage.getBoundingClientRect();
    const [atX, atY] = [x ?? area.left + area.width / 2, y ?? area.top + area.height / 2];
    const old = sheet.getBoundingClientRect();
    const share = [(atX - old.left) / old.width, (atY - old.top) / old.height];
    scale = to && Math.min(Math.max(to, Math.min(fitting(), pixel()) / 2), 32 * pixel());
    layOut();
    const now = sheet.getBoundingClientRect();
    stage.scrollLeft += now.left + share[0] * now.width - atX;
    stage.scrollTop += now.top + share[1] * now.height - atY;
    cut();
  }

  const actions = {
    in: () => zoom(current() * 1.5),
    out: () => zoom(current() / 1.5),
    fit: () => zoom(0),
    full: () => zoom(pixel()),
  };
  const keys = { "+": "in", "=": "in", "-": "out", 0: "fit", 1: "full" };

  // Drags of a mouse, a pen or a finger: of the line, or, in a larger picture, of the picture.
  function drag(element, onMove) {
    let last = null;
    element.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || !onMove(event, event)) return;
      last = event;
      element.setPointerCapture(event.pointerId);
    });
    element.addEventListener("pointermove", (event) => {
      if (last) onMove(event, last);
      if (last) last = event;
    });
    for (const end of ["pointerup", "pointercancel"]) {
      element.addEventListener(end, () => { last = null; });
    }
  }

  drag(line, (event) => { moveLine(event); return true; });
  drag(stage, (event, last) => {
    if (!picture.classList.contains("zoomed")) {
      const scrolls = event === last && event.pointerType === "touch"; // perhaps: a tap is a click
      if (movable() && !scrolls) moveLine(event);
      return movable();
    }
    if (event.pointerType === "touch") return false; // the browser scrolls
    stage.scrollLeft -= event.clientX - last.clientX;
    stage.scrollTop -= event.clientY - last.clientY;
    return true;
  });

  picture.addEventListener("change", (event) => {
    if (event.target.type !== "radio") return;
    const view = event.target.value;
    for (const name of ["slider", "before", "after", "difference"]) {
      picture.classList.toggle(`show-${name}`, view === name);
    }
    for (const other of picture.querySelectorAll(".other")) {
      other.hidden = other.dataset.view !== view;
    }
    cut();
  });
  picture.addEventListener("click", (event) => {
    const action = actions[event.target.dataset.zoom];
    if (action) action();
  });
  stage.addEventListener("click", (event) => {
    if (movable() && !picture.classList.contains("zoomed")) moveLine(event);
  });
  stage.addEventListener("keydown", (event) => {
    const action = actions[keys[event.key]];
    if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    action();
  });
  stage.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    zoom(current() * Math.exp(-event.deltaY / 300), event.clientX, event.clientY);
  }, { passive: false });
  frame.addEventListener("dblclick", (event) => { // the first click may have put the line there
    const full = Math.max(pixel(), 2 * fitting());
    zoom(picture.classList.contains("zoomed") ? 0 : full, event.clientX, event.clientY);
  });
  stage.addEventListener("scroll", cut, { passive: true });
  range.addEventListener("input", cut);
  window.addEventListener("resize", layOut);
  picture.classList.add("show-slider");
  layOut();
}

document.querySelectorAll(".picture").forEach(viewer);
