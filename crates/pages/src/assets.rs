//! Scripts and styles, from the program itself: compressed, and cached for ever under their digest.

use std::io::{Read as _, Write as _};
use std::sync::LazyLock;

use axum::body::Bytes;
use axum::extract::Path;
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, VARY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};

use http_door::ApiError;
use http_door::{NoQuery, NoRoomNeeded};

/// plotly.js, which the build script takes out of its crate.
const PLOTLY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/plotly.min.js.gz"));

/// A file that pages are made of.
struct Asset {
    name: &'static str,
    content_type: &'static str,
    digest: String,
    /// As gzip.
    compressed: Bytes,
}

static ASSETS: LazyLock<[Asset; 5]> = LazyLock::new(|| {
    let style = format!("{}{}", figures::STYLE, include_str!("../assets/page.css"));
    [
        Asset::new("page.css", "text/css; charset=utf-8", compressed(&style)),
        Asset::new("page.js", SCRIPT, compressed(include_str!("../assets/page.js"))),
        Asset::new("live.js", SCRIPT, compressed(include_str!("../assets/live.js"))),
        Asset::new("chart.js", SCRIPT, compressed(include_str!("../assets/chart.js"))),
        Asset::new("plotly.js", SCRIPT, Bytes::from_static(PLOTLY)),
    ]
});

const SCRIPT: &str = "text/javascript; charset=utf-8";

/// The paths of the files, from the root of all pages.
#[derive(Debug)]
pub(crate) struct Links {
    pub(crate) style: String,
    pub(crate) page_script: String,
    pub(crate) live_script: String,
    pub(crate) chart_script: String,
    pub(crate) plotly_script: String,
}

static LINKS: LazyLock<Links> = LazyLock::new(|| {
    let [style, page_script, live_script, chart_script, plotly_script] =
        ASSETS.each_ref().map(Asset::link);
    Links { style, page_script, live_script, chart_script, plotly_script }
});

impl Links {
    pub(crate) fn get() -> &'static Self {
        &LINKS
    }
}

impl Asset {
    fn new(name: &'static str, content_type: &'static str, compressed: Bytes) -> Self {
        let digest = Sha256::digest(&compressed);
        let [first, ..] = digest.as_chunks::<8>().0 else { unreachable!("a digest has 32 bytes") };
        let digest = format!("{:016x}", u64::from_be_bytes(*first));
        Self { name, content_type, digest, compressed }
    }

    fn link(&self) -> String {
        format!("assets/{}/{}", self.digest, self.name)
    }
}

fn compressed(text: &str) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let written = encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish());
    written.expect("memory takes everything").into()
}

/// Returns a file under the digest of its content; under another there is nothing.
pub(crate) async fn asset(
    Path((digest, name)): Path<(String, String)>,
    headers: HeaderMap,
    _: NoQuery,
) -> Result<Response, ApiError> {
    let is_meant = |asset: &&Asset| asset.name == name && asset.digest == digest;
    let asset = ASSETS.iter().find(is_meant).ok_or(ApiError::NotFound)?;
    let fixed = [
        (CONTENT_TYPE, HeaderValue::from_static(asset.content_type)),
        (CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable")),
        (VARY, HeaderValue::from_static("accept-encoding")),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    if takes_gzip(&headers) {
        let coding = [(CONTENT_ENCODING, HeaderValue::from_static("gzip"))];
        let mut response = (fixed, coding, asset.compressed.clone()).into_response();
        response.extensions_mut().insert(NoRoomNeeded);
        return Ok(response);
    }
    // Browsers take it compressed, so this is for those who look at it by hand.
    let compressed = asset.compressed.clone();
    let plain = tokio::task::spawn_blocking(move || {
        let mut plain = Vec::new();
        GzDecoder::new(&*compressed).read_to_end(&mut plain).expect("it was compressed here");
        plain
    });
    Ok((fixed, plain.await?).into_response())
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let mut codings = accepted.flat_map(|value| value.split(','));
    codings.any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let is_refused =
            |part: &str| part.strip_prefix("q=").is_some_and(|weight| weight.parse() == Ok(0.0));
        parts.next() == Some("gzip") && !parts.any(is_refused)
    })
}
