//! Pages in Chromium.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use identree_evidence::{Kind, secret as note};
use serde_json::{Value, json};

use crate::CHROMIUM;
use crate::lines::Lines;

/// One Chromium.
#[derive(Clone)]
pub(crate) struct Browser(Arc<Mutex<Lines>>);

/// How a page is opened.
#[derive(Clone, Copy)]
pub(crate) struct Look {
    pub(crate) size: &'static str,
    pub(crate) dark: bool,
    pub(crate) script: bool,
    /// Whether no time passes for scripts until [`Page::thaw`].
    pub(crate) frozen: bool,
    /// What the browser prefers (RFC 5646).
    pub(crate) language: &'static str,
}

impl Look {
    pub(crate) const PHONE: Self = Self { size: "phone", dark: false, script: true, frozen: false, language: "en-GB" };
    pub(crate) const DESKTOP: Self = Self { size: "desktop", ..Self::PHONE };
}

impl Browser {
    pub(crate) fn start() -> Self {
        let (lines, ready) = Lines::start("browser.mjs", CHROMIUM);
        assert_eq!(ready["value"], "ready");
        Self(Arc::new(Mutex::new(lines)))
    }

    /// A page in a profile of its own.
    pub(crate) fn open(&self, look: Look) -> Page {
        static OPENED: AtomicU32 = AtomicU32::new(0);
        let name = OPENED.fetch_add(1, Ordering::Relaxed).to_string();
        let page = Page { browser: self.clone(), name };
        page.call(
            json!({"do": "open", "size": look.size, "dark": look.dark, "script": look.script, "frozen": look.frozen, "language": look.language}),
        );
        page
    }
}

/// One page.
pub(crate) struct Page {
    browser: Browser,
    name: String,
}

impl Page {
    fn call(&self, mut command: Value) -> Value {
        command["page"] = self.name.clone().into();
        let answer = self.browser.0.lock().unwrap().call(&command);
        assert!(answer.get("error").is_none(), "{command}: {}\n{}", answer["error"], self.about());
        answer["value"].clone()
    }

    fn about(&self) -> String {
        let mut browser = self.browser.0.lock().unwrap();
        ["url", "text"]
            .map(|what| browser.call(&json!({"do": what, "selector": "body", "page": self.name}))["value"].to_string())
            .join("\n")
    }

    fn text_of(value: &Value) -> String {
        value.as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn goto(&self, url: &str) -> u64 {
        self.call(json!({"do": "goto", "url": url})).as_u64().unwrap_or_default()
    }

    /// The status of an address, asked for with the page's cookies.
    pub(crate) fn status(&self, url: &str) -> u64 {
        self.call(json!({"do": "status", "url": url})).as_u64().unwrap_or_default()
    }

    pub(crate) fn url(&self) -> String {
        Self::text_of(&self.call(json!({"do": "url"})))
    }

    pub(crate) fn title(&self) -> String {
        Self::text_of(&self.call(json!({"do": "title"})))
    }

    pub(crate) fn text(&self, selector: &str) -> String {
        Self::text_of(&self.call(json!({"do": "text", "selector": selector})))
    }

    pub(crate) fn html(&self) -> String {
        Self::text_of(&self.call(json!({"do": "html"})))
    }

    /// Notes which secrets the page holds now: they must never be in a log.
    fn note(&self) {
        for cookie in self.cookies().as_array().into_iter().flatten() {
            let (name, value) = (cookie["name"].as_str().unwrap(), cookie["value"].as_str().unwrap());
            if name.contains("identree_") && !name.ends_with("language") {
                note(if name.ends_with("session") { Kind::Session } else { Kind::SignIn }, value);
            }
        }
        if let Some((_, rest)) = self.html().split_once("name=\"csrf_token\" value=\"") {
            note(Kind::Csrf, rest.split('"').next().unwrap());
        }
    }

    pub(crate) fn has(&self, selector: &str) -> bool {
        self.call(json!({"do": "count", "selector": selector})).as_u64() != Some(0)
    }

    pub(crate) fn wait(&self, selector: &str) {
        self.call(json!({"do": "wait", "selector": selector}));
    }

    pub(crate) fn click(&self, selector: &str) {
        self.call(json!({"do": "click", "selector": selector}));
    }

    pub(crate) fn thaw(&self) {
        self.call(json!({"do": "thaw"}));
    }

    pub(crate) fn fill(&self, selector: &str, text: &str) {
        self.call(json!({"do": "fill", "selector": selector, "text": text}));
    }

    pub(crate) fn focus(&self, selector: &str) {
        self.call(json!({"do": "focus", "selector": selector}));
    }

    /// Marks this very list: `[data-mark]` is gone when it is loaded anew.
    pub(crate) fn mark(&self) {
        self.call(json!({"do": "mark"}));
    }

    /// Takes the page's network away, or gives it back.
    pub(crate) fn offline(&self, gone: bool) {
        self.call(json!({"do": "offline", "gone": gone}));
    }

    /// Keeps every answer from this path back for good.
    pub(crate) fn hold(&self, path: &str) {
        self.call(json!({"do": "hold", "path": path}));
    }

    pub(crate) fn press(&self, key: &str) {
        self.call(json!({"do": "press", "key": key}));
    }

    pub(crate) fn write(&self, text: &str) {
        self.call(json!({"do": "type", "text": text}));
    }

    pub(crate) fn focused(&self) -> String {
        Self::text_of(&self.call(json!({"do": "focused"})))
    }

    pub(crate) fn cookies(&self) -> Value {
        self.call(json!({"do": "cookies"}))
    }

    /// Signs in at the provider's form without following its answer back: the address it would go to.
    pub(crate) fn answer(&self, login: &str, back: &str) -> String {
        Self::text_of(&self.call(json!({"do": "answer", "login": login, "back": back})))
    }

    /// Leaves a screenshot of the whole page.
    pub(crate) fn look(&self, name: &str) {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("screenshots");
        std::fs::create_dir_all(&folder).unwrap();
        self.call(json!({"do": "look", "path": folder.join(format!("{name}.png"))}));
    }

    /// Leaves four screenshots: phone and desktop, light and dark.
    pub(crate) fn look_around(&self, name: &str) {
        for (size, dark) in [("desktop", true), ("desktop", false), ("phone", true), ("phone", false)] {
            self.call(json!({"do": "emulate", "dark": dark, "size": size}));
            self.look(&format!("{name}-{size}-{}", if dark { "dark" } else { "light" }));
            self.is_sound();
        }
    }

    /// Our own words on the page.
    pub(crate) fn words(&self) -> Vec<String> {
        let words = self.call(json!({"do": "words"}));
        words.as_array().unwrap().iter().map(Self::text_of).collect()
    }

    /// Nothing that a person would trip over.
    pub(crate) fn is_sound(&self) {
        assert_eq!(self.call(json!({"do": "faults"})), json!([]), "{}", self.about());
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.note();
        }
        if let Ok(mut browser) = self.browser.0.lock() {
            browser.call(&json!({"do": "close", "page": self.name}));
        }
    }
}
