//! Events to send, and the requests that send them.

use std::fmt::Write as _;

/// Returns a normal event of the simulated plant: `station_id` and `sequence` tell it from others.
pub fn event(station: u64, sequence: u64) -> String {
    // As many seconds as fit a day, then the next one.
    let (day, second) = (1 + sequence / 86_400 % 28, sequence % 86_400);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    let temperature = 69.0 + (sequence % 20) as f64 / 10.0;
    format!(
        "{{\"station_id\":\"station_{station:03}\",\"sequence\":{sequence},\
         \"timestamp\":\"2026-01-{day:02}T{hour:02}:{minute:02}:{second:02}Z\",\
         \"temperature_c\":{temperature:.1},\"humidity_pct\":44.7,\"sound_db\":66.1}}"
    )
}

/// Returns a request as it goes over the wire, which leaves the connection open.
pub fn request(method: &str, path: &str, content_type: &str, body: &str) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n");
    if !content_type.is_empty() {
        write!(text, "Content-Type: {content_type}\r\n").expect("a string can be written to");
    }
    write!(text, "Content-Length: {}\r\n\r\n{body}", body.len())
        .expect("a string can be written to");
    text.into_bytes()
}
