"use strict";
// The live page: asks its own server what is new, and puts it in its place. All text in the parts is escaped by the server.
(() => {
  const live = document.getElementById("live"), news = document.getElementById("news");
  const at = JSON.parse(document.getElementById("seen").textContent);
  const parts = {};
  document.getElementById("reload").addEventListener("click", () => location.reload());

  function show(name, html) {
    if (parts[name] === html) return;
    parts[name] = html;
    const section = document.getElementById(name);
    const open = [...section.querySelectorAll("details")].map((details) => details.open);
    section.innerHTML = html;
    section.querySelectorAll("details").forEach((details, i) => (details.open = Boolean(open[i])));
    for (const choice of section.querySelectorAll("input[name=centre]"))
      choice.checked = choice.value === (document.body.dataset.centre || "mean");
  }

  async function look() {
    try {
      const answer = await fetch(`data.json?seen=${at.number}`, {cache: "no-store", credentials: "omit"});
      if (!answer.ok) throw new Error(String(answer.status));
      const told = await answer.json();
      live.textContent = told.status;
      live.classList.remove("lost");
      if (told.parts) {
        for (const [name, html] of Object.entries(told.parts)) show(name, html);
        at.number = told.seen;
        news.hidden = told.recorded === at.recorded;
      }
    } catch {
      live.textContent = "The program that serves this page has ended; what is shown is what it told last.";
      live.classList.add("lost");
    }
    setTimeout(look, 1000);
  }
  setTimeout(look, 1000);
})();
