//! Somebody at a browser.

use crate::browser::{Look, Page};
use crate::world::World;

impl World {
    /// A page of a browser in which nobody is signed in.
    pub(crate) fn page(&self, look: Look) -> Page {
        self.browser.open(look)
    }

    /// A page on the list, of somebody who has just signed in.
    pub(crate) fn signed_in(&self, name: &str, look: Look) -> Page {
        let page = self.page(look);
        page.goto(&self.url);
        page.click("main .button.primary");
        page.log_in(name);
        page.wait("header .who");
        page
    }
}

impl Page {
    /// Fills the provider's form.
    pub(crate) fn log_in(&self, name: &str) {
        self.fill("input[name=login]", name);
        self.click("button");
    }

    /// Presses a button of the decision once it counts.
    pub(crate) fn decide(&self, button: &str) {
        self.wait("#decide[data-armed]");
        self.click(button);
    }
}
