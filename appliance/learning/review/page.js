"use strict";
(() => {
  const facts = JSON.parse(document.getElementById("facts").textContent);
  const sheets = [...document.querySelectorAll(".part")];
  const by = document.getElementById("by");
  const told = document.getElementById("told");
  const strip = document.getElementById("strip");
  const key = `review-${facts.page}`;
  let answers = {}; // by seq: {answer, class_name, note, at}
  let place = 0;
  let unsaved = false;

  try {
    const kept = JSON.parse(localStorage.getItem(key) || "{}");
    answers = kept.answers || {};
    by.value = kept.by || localStorage.getItem("review-by") || "";
  } catch { /* a browser that keeps nothing: the file is what counts */ }

  const keep = () => {
    try {
      localStorage.setItem(key, JSON.stringify({ answers, by: by.value }));
      localStorage.setItem("review-by", by.value);
    } catch { /* see above */ }
  };

  // What a file of answers may hold: one line, no control characters.
  const plain = (text) => text.replace(/[\u0000-\u001f\u007f]/g, " ").trim();

  const tell = (text, isBad = false) => {
    told.textContent = text;
    told.classList.toggle("bad", isBad);
  };

  const dots = sheets.map((sheet, number) => {
    const dot = strip.appendChild(document.createElement("button"));
    dot.title = `result ${sheet.dataset.seq}, ${facts.parts[number].verdict}`;
    dot.addEventListener("click", () => go(number));
    return dot;
  });

  const paint = () => {
    sheets.forEach((sheet, number) => {
      const said = answers[sheet.dataset.seq];
      sheet.classList.toggle("shown", number === place);
      for (const button of sheet.querySelectorAll("[data-answer]")) {
        button.classList.toggle("chosen", said !== undefined && said.answer === button.dataset.answer);
        button.setAttribute("aria-pressed", button.classList.contains("chosen"));
      }
      const which = sheet.querySelector(".which");
      if (which) which.hidden = !said || said.answer !== "wrong";
      dots[number].className = said ? said.answer : "";
      dots[number].setAttribute("aria-current", number === place);
    });
    const judged = Object.keys(answers).length;
    document.getElementById("count").textContent =
      `part ${sheets.length ? place + 1 : 0} of ${sheets.length}, ${judged} judged`;
  };

  const go = (number) => {
    place = Math.max(0, Math.min(sheets.length - 1, number));
    paint();
  };

  const say = (sheet, change) => {
    const seq = sheet.dataset.seq;
    const said = { class_name: null, note: null, ...answers[seq], ...change, at: new Date().toISOString() };
    if (said.answer !== "wrong") said.class_name = null;
    answers[seq] = said;
    unsaved = true;
    keep();
    paint();
  };

  const answer = (word) => {
    const sheet = sheets[place];
    if (!sheet) return;
    const select = sheet.querySelector(".class");
    const asks = word === "wrong" && select !== null;
    say(sheet, { answer: word, note: plain(sheet.querySelector(".note").value) || null,
                 class_name: asks ? select.value || null : null });
    if (asks) select.focus();
    else if (place < sheets.length - 1) go(place + 1);
    else tell("That was the last part. Save the answers.");
  };

  sheets.forEach((sheet) => {
    const said = answers[sheet.dataset.seq];
    const note = sheet.querySelector(".note");
    const select = sheet.querySelector(".class");
    if (said) {
      note.value = said.note || "";
      if (select) select.value = said.class_name || "";
    }
    for (const button of sheet.querySelectorAll("[data-answer]")) {
      button.addEventListener("click", () => answer(button.dataset.answer));
    }
    note.addEventListener("change", () => {
      if (answers[sheet.dataset.seq]) say(sheet, { note: plain(note.value) || null });
    });
    if (select) select.addEventListener("change", () => say(sheet, { class_name: select.value || null }));
  });

  const zoom = () => {
    for (const svg of sheets[place].querySelectorAll("svg")) {
      if (svg.dataset.whole) {
        svg.setAttribute("viewBox", svg.dataset.whole);
        delete svg.dataset.whole;
        continue;
      }
      const boxes = [...svg.querySelectorAll('rect[fill="none"]')].map((box) => box.getBBox());
      if (!boxes.length) continue;
      const left = Math.min(...boxes.map((box) => box.x)), top = Math.min(...boxes.map((box) => box.y));
      const right = Math.max(...boxes.map((box) => box.x + box.width));
      const bottom = Math.max(...boxes.map((box) => box.y + box.height));
      const margin = Math.max(40, 0.5 * Math.max(right - left, bottom - top));
      svg.dataset.whole = svg.getAttribute("viewBox");
      svg.setAttribute("viewBox",
        `${left - margin} ${top - margin} ${right - left + 2 * margin} ${bottom - top + 2 * margin}`);
    }
  };

  const save = () => {
    const given = Object.entries(answers).map(([seq, said]) => ({ seq: Number(seq), ...said }));
    by.value = plain(by.value);
    if (!by.value) { tell("Say who you are first: your name stands beside each answer.", true); by.focus(); return; }
    if (!given.length) { tell("There is no answer to save yet.", true); return; }
    const file = { format: facts.format, version: 1, page: facts.page, epoch: facts.epoch, by: by.value,
                   drawn: facts.drawn, answers: given.sort((a, b) => a.seq - b.seq) };
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([JSON.stringify(file, null, 1)], { type: "application/json" }));
    link.download = `review-answers-${facts.page.slice(0, 8)}.json`;
    link.click();
    unsaved = false;
    tell(`${given.length} answers saved as ${link.download}: appliance review import ${link.download}`);
  };

  const keys = {
    r: () => answer("right"), w: () => answer("wrong"), u: () => answer("unsure"),
    ArrowRight: () => go(place + 1), ArrowLeft: () => go(place - 1),
    z: zoom, b: () => document.body.classList.toggle("bare"),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape" || (event.key === "Enter" && event.target.matches("select, .note"))) {
      event.target.blur();
      if (event.key === "Enter") go(place + 1);
      return;
    }
    if (event.target.matches("input, select") || !sheets.length || !(event.key in keys)) return;
    event.preventDefault();
    keys[event.key]();
  });
  document.getElementById("save").addEventListener("click", save);
  by.addEventListener("change", keep);
  window.addEventListener("beforeunload", (event) => { if (unsaved) event.preventDefault(); });

  document.body.classList.add("scripted");
  go(Math.max(0, sheets.findIndex((sheet) => !answers[sheet.dataset.seq])));
})();
