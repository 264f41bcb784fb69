//! Counting requests: by method, route and class of status, of which there are few however many requests there are.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use axum::http::{Method, StatusCode};
use metrics::{Counter, Histogram};

use super::Telemetry;

/// Routes whose requests may be held until something changes: their time says nothing about the server.
const HELD: &[&str] = &["/api/challenge/{id}", "/api/events", "/state", "/approve/{code}/state"];
/// What every other method is counted as, and every path that is no route.
const OTHER: &str = "other";
const METHODS: [&str; 5] = ["GET", "HEAD", "POST", "DELETE", OTHER];
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The counters of all routes. A route's are made when it is first asked for; then a request costs one look-up.
#[derive(Debug)]
pub struct HttpMeters {
    telemetry: Telemetry,
    routes: RwLock<HashMap<Box<str>, Route>>,
    held: Histogram,
    panics: Counter,
}

#[derive(Debug, Default)]
struct Route([[Option<Meters>; CLASSES.len()]; METHODS.len()]);

#[derive(Debug, Clone)]
struct Meters {
    answered: Counter,
    seconds: Option<Histogram>,
}

impl HttpMeters {
    /// In this recorder.
    pub fn new(telemetry: Telemetry) -> Self {
        let (held, panics) = telemetry.register(|| {
            (metrics::histogram!("identree_http_held_seconds"), metrics::counter!("identree_http_panics_total"))
        });
        Self { telemetry, routes: RwLock::default(), held, panics }
    }

    /// Counts one answer. `route` is the template that matched, never the path that was asked for.
    pub fn answered(&self, method: &Method, route: Option<&str>, status: StatusCode, seconds: f64) {
        let route = route.unwrap_or("none");
        let at = METHODS.iter().position(|known| *known == method.as_str()).unwrap_or(METHODS.len() - 1);
        let class = usize::from(status.as_u16() / 100).clamp(1, CLASSES.len()) - 1;
        let known = {
            let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
            routes.get(route).and_then(|Route(meters)| meters[at][class].clone())
        };
        let meters = known.unwrap_or_else(|| self.make(route, at, class));
        meters.answered.increment(1);
        meters.seconds.as_ref().unwrap_or(&self.held).record(seconds);
    }

    /// Counts a request that ended in a panic.
    pub fn panicked(&self) {
        self.panics.increment(1);
    }

    fn make(&self, route: &str, method: usize, class: usize) -> Meters {
        let labels = [("method", METHODS[method]), ("status", CLASSES[class])];
        let meters = self.telemetry.register(|| {
            let labels = || {
                let own = [metrics::Label::new("route", route.to_owned())];
                let rest = labels.map(|(name, value)| metrics::Label::from_static_parts(name, value));
                own.into_iter().chain(rest).collect::<Vec<_>>()
            };
            let held = METHODS[method] == "GET" && HELD.contains(&route);
            Meters {
                answered: metrics::counter!("identree_http_requests_total", labels()),
                seconds: (!held).then(|| metrics::histogram!("identree_http_request_duration_seconds", labels())),
            }
        });
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        let Route(all) = routes.entry(route.into()).or_default();
        all[method][class] = Some(meters.clone());
        meters
    }
}

#[cfg(test)]
mod tests {
    use identree_core::engine::Load;

    use super::*;
    use crate::telemetry::Standing;

    #[test]
    fn what_a_client_invents_makes_no_series_and_a_held_request_no_slow_one() {
        let telemetry = Telemetry::new();
        let meters = HttpMeters::new(telemetry.clone());
        for number in 0..10 {
            let method = Method::from_bytes(format!("M{number}").as_bytes()).unwrap();
            meters.answered(&method, None, StatusCode::NOT_FOUND, 0.01);
        }
        meters.answered(&Method::GET, Some("/api/challenge/{id}"), StatusCode::OK, 24.0);
        let text = telemetry.render(Standing {
            load: Load { questions: 0, waiters: 0, followers: 0 },
            connections: 0,
            streams: 0,
            hosts: 0,
            clock_off: std::time::Duration::ZERO,
        });
        let lines = |start: &str| {
            let mut lines: Vec<_> = text.lines().filter(|line| line.starts_with(start)).collect();
            lines.sort_unstable();
            lines
        };
        assert_eq!(
            lines("identree_http_requests_total{"),
            [
                "identree_http_requests_total{route=\"/api/challenge/{id}\",method=\"GET\",status=\"2xx\"} 1",
                "identree_http_requests_total{route=\"none\",method=\"other\",status=\"4xx\"} 10",
            ]
        );
        assert_eq!(lines("identree_http_held_seconds_sum"), ["identree_http_held_seconds_sum 24"]);
        assert_eq!(lines("identree_http_request_duration_seconds_count{").len(), 1);
    }
}
