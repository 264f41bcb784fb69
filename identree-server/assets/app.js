// Keeps open pages up to date. Everything works without it.
"use strict";
(() => {
  const GUARD = 300; // ms: a click meant for what was here before does not count
  const ANNOUNCE = [60, 30, 10]; // seconds left at which a screen reader is told, once each
  const news = document.getElementById("news");
  const main = () => document.getElementById("main");
  let skew = 0; // server clock minus ours, in ms
  let shownAt = performance.now();

  const say = (text) => { news.textContent = ""; setTimeout(() => { news.textContent = text; }, 50); };

  // --- times -------------------------------------------------------------------------------------------------------
  const format = (secs) => {
    const values = { h: Math.floor(secs / 3600), m: Math.floor(secs / 60) % 60, s: secs % 60 };
    const forms = document.body.dataset;
    const form = values.h ? forms.hm : values.m >= 10 || (values.m && !values.s) ? forms.m : values.m ? forms.ms : forms.s;
    return form.replace(/\{(\w)\}/g, (_, unit) => values[unit]);
  };

  const localTimes = () => {
    for (const time of document.querySelectorAll("time[datetime]:not([title])")) {
      const at = new Date(time.dateTime);
      if (Number.isNaN(at.getTime())) continue;
      time.title = time.dateTime;
      const today = at.toDateString() === new Date().toDateString();
      const clock = at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: today ? "2-digit" : undefined });
      time.textContent = today ? clock : `${at.toLocaleDateString()} ${clock}`;
    }
  };

  const tick = () => {
    const bar = document.getElementById("bar");
    for (const left of document.querySelectorAll("[data-ends]")) {
      const ms = Math.max(0, Number(left.dataset.ends) - (Date.now() + skew));
      const secs = Math.ceil(ms / 1000);
      const text = left.dataset.pattern.replace("{time}", format(secs));
      if (left.textContent !== text) left.textContent = text;
      if (!("announce" in left.dataset)) continue;
      if (bar) bar.value = ms;
      if (ANNOUNCE.includes(secs) && left.dataset.said !== String(secs)) {
        left.dataset.said = String(secs);
        say(text);
      }
    }
  };

  // --- one answer, meant for this page -----------------------------------------------------------------------------
  const early = () => performance.now() - shownAt < GUARD;
  const shown = () => {
    shownAt = performance.now();
    const form = document.getElementById("decide");
    if (!form) return;
    delete form.dataset.armed;
    setTimeout(() => { if (!early()) form.dataset.armed = ""; }, GUARD + 20);
  };

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.id !== "decide") return;
    if (form.dataset.sent !== undefined || early()) { event.preventDefault(); return; }
    form.dataset.sent = "";
    const button = event.submitter;
    // After the browser has collected the form: a disabled button would not be sent.
    setTimeout(() => {
      for (const other of form.querySelectorAll("button")) other.disabled = true;
      if (button) button.textContent = form.dataset.sending;
    });
  });

  // --- following ---------------------------------------------------------------------------------------------------
  const replaceMain = (page, focus) => {
    main().replaceWith(page.getElementById("main"));
    document.title = page.title;
    start();
    if (focus) main().querySelector("h1")?.focus();
  };

  const fetchPage = async (path) => {
    const answer = await fetch(path, { headers: { accept: "text/html" } });
    if (answer.status >= 500) throw new Error(answer.status);
    return new DOMParser().parseFromString(await answer.text(), "text/html");
  };

  const questionChanged = async (state) => {
    const here = main();
    const page = await fetchPage(here.dataset.question);
    const there = page.getElementById("main");
    if (there?.dataset.state === "pending") {
      // Somebody else approved too: what is being typed here stays.
      here.dataset.revision = there.dataset.revision;
      document.getElementById("votes").replaceWith(page.getElementById("votes"));
      say(document.getElementById("votes").textContent.trim());
    } else {
      replaceMain(page, true);
      say(page.querySelector(".verdict")?.innerText.trim() ?? state.state);
    }
  };

  const listChanged = async () => {
    const focused = document.activeElement?.getAttribute("href");
    const changed = main().dataset.changed;
    replaceMain(await fetchPage("/"), false);
    if (focused) main().querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
    say(changed);
  };

  // Only the tab that is looked at holds a request: browsers allow a handful per server, all tabs together.
  let held = null;
  const visible = async () => {
    while (document.hidden) {
      await new Promise((done) => document.addEventListener("visibilitychange", done, { once: true }));
    }
  };

  let round = 0;
  const follow = async () => {
    const mine = ++round;
    let pause = 1000;
    for (;;) {
      await visible();
      const { question, revision, seen, state } = main().dataset;
      const list = "list" in main().dataset;
      if (mine !== round || (!list && state !== "pending")) return;
      const path = list ? `/state?seen=${seen}` : `${question}/state?seen=${revision}`;
      try {
        held = new AbortController();
        const answer = await fetch(path, { cache: "no-store", signal: held.signal });
        if (mine !== round) return;
        // The session has ended. Not a reload: that could sign in again with nobody there.
        if (answer.status === 401) { location.replace("/"); return; }
        if (!answer.ok) throw new Error(answer.status);
        const now = await answer.json();
        pause = 1000;
        if (list ? now.seen !== seen : now.state !== "pending" || String(now.revision) !== revision) {
          // A vote of this page's own is on its way: its answer brings the new page.
          if (document.querySelector("form[data-sent]")) return;
          await (list ? listChanged() : questionChanged(now));
        }
      } catch {
        if (document.hidden) continue;
        await new Promise((done) => setTimeout(done, pause));
        pause = Math.min(pause * 2, 30000);
      }
    }
  };

  const start = () => {
    const now = Number(main().dataset.now);
    if (now) skew = now - Date.now();
    localTimes();
    tick();
    shown();
    void follow();
  };

  setInterval(tick, 250);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) { held?.abort(); return; }
    shown();
    tick();
  });
  // Back from the browser's own cache: the page may be long out of date.
  window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
  start();
})();
