//! The server behind nginx, under a path.
//!
//! Without nginx, the test passes and says so; with `REQUIRE_NGINX=1` it fails.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::socket::{start_now_with, talk};
use crate::{GOOD, HOT, skip_without};

/// nginx with a place that takes its prefix away and one that passes it on.
struct Nginx {
    child: Child,
    addr: SocketAddr,
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Nginx {
    /// Starts it; `None` when it is missing and need not be there.
    async fn start(dir: &Path, server: SocketAddr) -> Option<Self> {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = free.local_addr().unwrap();
        drop(free);
        let folder = dir.display();
        let configuration = format!(
            "daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr;
             events {{}}
             http {{
                 access_log off;
                 client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
                 uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
                 server {{
                     listen {addr};
                     location /plant/ {{ proxy_pass http://{server}; }}
                     location = /plant {{ proxy_pass http://{server}; }}
                     location /taken/away/ {{ proxy_pass http://{server}/; }}
                 }}
             }}"
        );
        let path = dir.join("nginx.conf");
        std::fs::write(&path, configuration).unwrap();
        let child = match Command::new("nginx").arg("-p").arg(dir).arg("-c").arg(&path).spawn() {
            Ok(child) => child,
            Err(error) => {
                skip_without("nginx", "REQUIRE_NGINX", &error);
                return None;
            }
        };
        let nginx = Self { child, addr };
        for _ in 0..100 {
            if TcpStream::connect(addr).await.is_ok() {
                return Some(nginx);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("nginx does not listen on {addr}");
    }

    async fn get(&self, path: &str) -> String {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: plant.example\r\nAccept: text/html\r\nConnection: close\r\n\r\n"
        );
        talk(self.addr, &request).await
    }
}

/// Returns what a page links to and loads, as a browser resolves it.
fn links(page_path: &str, html: &str) -> Vec<String> {
    let values = |attribute: &str| -> Vec<String> {
        let values = html.split(attribute).skip(1).map(|rest| rest.split('"').next().unwrap());
        values.map(String::from).collect()
    };
    let mut links = [values("href=\""), values("src=\"")].concat();
    links.retain(|link| !link.starts_with('#') && !link.contains(':'));
    // The script of a page begins this one itself.
    let roots = values("data-root=\"").into_iter().zip(values("data-live-script=\""));
    links.extend(roots.map(|(root, script)| root + &script));
    links.iter().map(|link| resolve(page_path, link.split(['?', '#']).next().unwrap())).collect()
}

fn resolve(page_path: &str, link: &str) -> String {
    if link.is_empty() || link.starts_with('/') {
        return String::from(if link.is_empty() { page_path } else { link });
    }
    let mut folders: Vec<&str> = page_path.split('/').collect();
    folders.pop();
    for segment in link.split('/') {
        match segment {
            "." => {}
            ".." => drop(folders.pop()),
            segment => folders.push(segment),
        }
    }
    // `..` at the end leads to a folder.
    let ending = if link.ends_with("..") || link == "." { "/" } else { "" };
    folders.join("/") + ending
}

/// Seen to fail with links that begin with a slash, and with a redirection to `/docs/`.
async fn check_links(nginx: &Nginx, prefix: &str) {
    let mut found = BTreeSet::from([format!("{prefix}/"), format!("{prefix}/docs")]);
    let mut tried = BTreeSet::new();
    while let Some(path) = found.difference(&tried).next().cloned() {
        assert!(path.starts_with(&format!("{prefix}/")), "a link leads out to {path}");
        let answer = nginx.get(&path).await;
        let head = answer.split("\r\n\r\n").next().unwrap().to_lowercase();
        if let Some(location) = head.lines().find_map(|line| line.strip_prefix("location: ")) {
            found.insert(resolve(&path, location));
        } else {
            assert!(answer.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
        }
        if head.contains("content-type: text/html") {
            found.extend(links(&path, &answer));
        }
        tried.insert(path);
    }
    for page in ["ui/model", "ui/stations/station_001", "docs/", "docs/swagger-ui.css"] {
        assert!(tried.contains(&format!("{prefix}/{page}")), "no link leads to {page}: {tried:?}");
    }
    assert!(tried.iter().any(|path| path.contains("/ui/anomalies/")), "{tried:?}");
    assert!(tried.len() > 12, "{tried:?}");
}

/// Seen to fail without `X-Accel-Buffering: no`: nginx then waits for more than there is.
async fn check_live(nginx: &Nginx, prefix: &str) {
    let mut stream = TcpStream::connect(nginx.addr).await.unwrap();
    let request = format!("GET {prefix}/live HTTP/1.1\r\nHost: plant.example\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut heard = String::new();
    let news = async {
        let mut bytes = [0; 4_096];
        while !heard.contains("event: snapshot") {
            let n_bytes = stream.read(&mut bytes).await.unwrap();
            assert!(n_bytes > 0, "{heard}");
            heard.push_str(&String::from_utf8_lossy(&bytes[..n_bytes]));
        }
    };
    tokio::time::timeout(Duration::from_secs(20), news).await.expect("no news within 20 s");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_and_api_work_behind_nginx_under_a_path() {
    let dir = tempfile::tempdir().unwrap();
    let running = start_now_with(dir.path(), &["--base-path", "/plant"]).await;
    let Some(nginx) = Nginx::start(dir.path(), running.addr).await else {
        running.stop().await;
        return;
    };
    for prefix in ["/plant", "/taken/away"] {
        for event in [GOOD, HOT] {
            let request = format!(
                "POST {prefix}/predict HTTP/1.1\r\nHost: plant.example\r\nConnection: close\r\nContent-Type: \
                 application/json\r\nContent-Length: {}\r\n\r\n{event}",
                event.len()
            );
            let answer = talk(nginx.addr, &request).await;
            assert!(answer.starts_with("HTTP/1.1 200 "), "{prefix}: {answer}");
        }
        check_links(&nginx, prefix).await;
        check_live(&nginx, prefix).await;
    }
    let answer = nginx.get("/plant").await;
    assert!(answer.starts_with("HTTP/1.1 307 "), "{answer}");
    assert!(answer.to_lowercase().contains("location: plant/\r\n"), "{answer}");
    // A probe on the same machine need not know the prefix.
    let direct =
        talk(running.addr, "GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(direct.starts_with("HTTP/1.1 200 "), "{direct}");
    drop(nginx);
    running.stop().await;
}
