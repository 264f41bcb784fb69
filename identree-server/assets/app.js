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
    const page = await fetchPage("/");
    const who = (there) => there.querySelector(".who .name")?.textContent;
    // Somebody else has signed in meanwhile, or nobody is: not only the list is another one.
    if (who(page) !== who(document)) { location.replace("/"); return; }
    replaceMain(page, false);
    if (focused) main().querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
    say(changed);
  };

  // --- the list, told by events --------------------------------------------------------------------------------------
  const RECENT = 20; // settled questions that the list shows
  const OPENING = 5000; // ms until a stream that says nothing counts as kept back by a proxy
  const SILENCE = 40000; // ms without a word after which a stream is dead; the server speaks every 15 s
  const LATER = 60000; // ms until streaming is tried again after it did not work
  let streamFrom = 0; // when streaming may be tried
  let source = null;

  const recount = () => {
    const count = document.querySelectorAll(".cards > li").length;
    const heading = document.getElementById("waiting");
    const { some, none } = heading.dataset;
    const text = count ? some : none;
    if (heading.textContent !== text) heading.textContent = text;
    document.getElementById("open").classList.toggle("empty", !count);
    document.getElementById("done").hidden = !document.querySelector(".rows > li");
    document.title = `${count ? `(${count}) ` : ""}${some} · identree`;
  };

  // One question has a new state: its place in the list changes, nothing else does, and the focus stays.
  const patch = ({ id, revision, state, item }) => {
    const holder = document.createElement("template");
    holder.innerHTML = item; // the server's own, as in the page
    const fresh = holder.content.querySelector("li");
    const card = document.querySelector(`.cards > li[data-id="${id}"]`);
    const row = document.querySelector(`.rows > li[data-id="${id}"]`);
    const focused = card?.contains(document.activeElement);
    if (state === "pending") {
      // What is settled never waits again; what is shown already may be told once more.
      if (row || (card && Number(card.dataset.revision) >= revision)) return;
      if (card) card.replaceWith(fresh); else document.querySelector(".cards").append(fresh);
      if (focused) fresh.querySelector("a").focus();
    } else {
      if (row && !card) return; // shown already: another server tells it once more
      const next = card?.nextElementSibling ?? card?.previousElementSibling;
      card?.remove();
      if (row) row.replaceWith(fresh); else document.querySelector(".rows").prepend(fresh);
      for (const old of [...document.querySelectorAll(".rows > li")].slice(RECENT)) old.remove();
      if (focused) (next?.querySelector("a") ?? document.getElementById("waiting")).focus();
    }
    recount();
    localTimes();
    tick();
    say([".badge", "b", "code"].map((part) => fresh.querySelector(part)?.textContent).filter(Boolean).join(": "));
  };

  // Follows the stream until the page is another one, nobody looks, or it does not work.
  const stream = (mine) => new Promise((done) => {
    const here = main();
    const mySource = source = new EventSource(here.dataset.events);
    let silence = 0;
    const end = (later) => {
      clearTimeout(silence);
      mySource.close();
      if (later) streamFrom = Date.now() + LATER;
      done();
    };
    const within = (ms, later) => { clearTimeout(silence); silence = setTimeout(() => end(later), ms); };
    const on = (name, act) => mySource.addEventListener(name, (event) => {
      if (mine !== round) { end(false); return; }
      within(SILENCE, false);
      // From here on, should it have to begin again.
      if (event.lastEventId) here.dataset.events = here.dataset.events.replace(/after=[^&]*/, `after=${event.lastEventId}`);
      act?.(event);
    });
    on("hello");
    on("alive");
    for (const name of ["challenge_created", "challenge_updated", "challenge_resolved"]) {
      on(name, (event) => patch(JSON.parse(event.data)));
    }
    on("reset", () => {
      clearTimeout(silence);
      mySource.close();
      listChanged().then(() => end(false), () => end(true));
    });
    on("signed_out", () => { end(false); location.replace("/"); });
    // The browser tries again by itself, unless the answer was none to a stream.
    mySource.addEventListener("error", () => { if (mySource.readyState === EventSource.CLOSED) end(true); });
    mySource.addEventListener("stop", () => end(false));
    within(OPENING, true);
  });

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
    source?.dispatchEvent(new Event("stop"));
    let pause = 1000;
    for (;;) {
      await visible();
      const { question, revision, seen, state } = main().dataset;
      const list = "list" in main().dataset;
      if (mine !== round || (!list && state !== "pending")) return;
      if (list && "EventSource" in window && Date.now() >= streamFrom) { await stream(mine); continue; }
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
    if (document.hidden) { held?.abort(); source?.dispatchEvent(new Event("stop")); return; }
    shown();
    tick();
  });
  // Back from the browser's own cache: the page may be long out of date.
  window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
  start();
})();
