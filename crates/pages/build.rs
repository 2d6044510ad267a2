//! Takes plotly.js out of the crate that ships it, and compresses it.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

fn main() -> std::io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    // Two libraries as elements of a page; the other one sets formulas, which charts here have none of.
    let elements = plotly::Plot::offline_js_sources();
    let begin = elements.find("/**\n* plotly.js v").expect("the crate ships plotly.js");
    let (_, script) = elements.split_at(begin);
    let (script, _) = script.split_once("</script>").expect("an element ends");
    #[expect(clippy::disallowed_methods, reason = "this is how build scripts are configured")]
    let out_dir = std::env::var_os("OUT_DIR").expect("cargo sets it for build scripts");
    let file = File::create(Path::new(&out_dir).join("plotly.min.js.gz"))?;
    let mut encoder = GzEncoder::new(file, Compression::best());
    encoder.write_all(script.as_bytes())?;
    encoder.finish()?.sync_all()
}
