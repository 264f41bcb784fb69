//! Style sheet, script and icon: compiled in, addressed by their content, cached for good.

use axum::extract::Path;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

use super::problem::Problem;

/// Where the files are; the name changes with the content, so that no browser ever mixes old and new.
#[derive(Debug, Clone, Copy)]
pub(super) struct Assets;

struct File {
    stem: &'static str,
    extension: &'static str,
    media_type: &'static str,
    bytes: &'static [u8],
    hash: u64,
}

macro_rules! file {
    ($stem:literal, $extension:literal, $media_type:literal) => {{
        const BYTES: &[u8] = include_bytes!(concat!("../../assets/", $stem, ".", $extension));
        const HASH: u64 = fnv1a(BYTES);
        File { stem: $stem, extension: $extension, media_type: $media_type, bytes: BYTES, hash: HASH }
    }};
}

const STYLE: File = file!("app", "css", "text/css; charset=utf-8");
const SCRIPT: File = file!("app", "js", "text/javascript; charset=utf-8");
const ICON: File = file!("icon", "svg", "image/svg+xml");

/// FNV-1a, 64 bits: names a version of a file, protects nothing.
const fn fnv1a(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325;
    let mut at = 0;
    while at < bytes.len() {
        hash ^= bytes[at] as u64;
        hash = u64::wrapping_mul(hash, 0x0100_0000_01b3);
        at += 1;
    }
    hash
}

impl File {
    fn name(&self) -> String {
        format!("{}-{:016x}.{}", self.stem, self.hash, self.extension)
    }
}

impl Assets {
    /// The address of the style sheet.
    pub(super) fn style(self) -> String {
        format!("/assets/{}", STYLE.name())
    }

    /// The address of the script.
    pub(super) fn script(self) -> String {
        format!("/assets/{}", SCRIPT.name())
    }

    /// The address of the icon.
    pub(super) fn icon(self) -> String {
        format!("/assets/{}", ICON.name())
    }
}

/// `GET /assets/{name}`.
pub(super) async fn asset(Path(name): Path<String>) -> Response {
    let Some(file) = [&STYLE, &SCRIPT, &ICON].into_iter().find(|file| file.name() == name) else {
        return Problem::not_found().into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(file.media_type)),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable")),
    ];
    (headers, file.bytes).into_response()
}
