//! One HTML file that needs nothing else.

use std::fmt::Write as _;

use crate::STYLE;
use crate::svg::escaped;

/// A page of headings, sentences, tables and figures, in one file that needs nothing else.
#[derive(Debug)]
pub struct Report {
    text: String,
    /// The subject.
    topic: String,
}

const PAGE_STYLE: &str = include_str!("report.css");

impl Report {
    /// Begins a report.
    pub fn new(title: &str) -> Self {
        let topic = String::from(title);
        let title = escaped(title);
        let policy = "default-src 'none'; style-src 'unsafe-inline'";
        let text = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>{title}</title>\n<style>\n{STYLE}{PAGE_STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n"
        );
        Self { text, topic }
    }

    /// Adds a heading.
    pub fn heading(&mut self, text: &str) {
        self.add("h2", text);
        self.topic = String::from(text);
    }

    /// Adds a paragraph.
    pub fn paragraph(&mut self, text: &str) {
        self.add("p", text);
    }

    /// Adds a warning.
    pub fn warning(&mut self, text: &str) {
        writeln!(self.text, "<p class=\"warning\"><strong>Warning:</strong> {}</p>", escaped(text))
            .expect("a string takes everything");
    }

    /// Adds a line to copy, such as a command.
    pub fn code(&mut self, text: &str) {
        self.add("pre", text);
    }

    /// Names and what they are.
    pub fn facts<'a>(&mut self, facts: impl IntoIterator<Item = (&'a str, String)>) {
        self.text.push_str("<dl>\n");
        for (name, fact) in facts {
            self.add("dt", name);
            self.add("dd", &fact);
        }
        self.text.push_str("</dl>\n");
    }

    /// Adds a table: its titles, and a text for each cell.
    pub fn table(&mut self, titles: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
        // A narrow screen scrolls it, which has to be possible without a pointer.
        let label = escaped(&self.topic);
        write!(
            self.text,
            "<div class=\"scroll\" role=\"group\" aria-label=\"{label}\" tabindex=\"0\">"
        )
        .expect("a string takes everything");
        self.text.push_str("<table>\n<thead><tr>");
        for title in titles {
            self.add("th", title);
        }
        self.text.push_str("</tr></thead>\n<tbody>\n");
        for row in rows {
            self.text.push_str("<tr>");
            for cell in row {
                self.add("td", &cell);
            }
            self.text.push_str("</tr>\n");
        }
        self.text.push_str("</tbody>\n</table></div>\n");
    }

    /// Figures beside each other, where there is room, with what is to be said of each.
    pub fn figures(&mut self, drawn: impl IntoIterator<Item = (String, String)>) {
        self.text.push_str("<div class=\"figures\">\n");
        for (svg, caption) in drawn {
            let caption = escaped(&caption);
            writeln!(self.text, "<figure>{svg}<figcaption>{caption}</figcaption></figure>")
                .expect("a string takes everything");
        }
        self.text.push_str("</div>\n");
    }

    /// Drawings with a name each, one below the other, such as strips of several stations.
    pub fn rows(&mut self, rows: impl IntoIterator<Item = (String, String)>) {
        self.text.push_str("<div class=\"rows\">\n");
        for (name, svg) in rows {
            writeln!(self.text, "<span>{}</span>{svg}", escaped(&name))
                .expect("a string takes everything");
        }
        self.text.push_str("</div>\n");
    }

    /// Returns the whole file.
    pub fn end(mut self) -> String {
        self.text.push_str("</main>\n</body>\n</html>\n");
        self.text
    }

    fn add(&mut self, element: &str, text: &str) {
        writeln!(self.text, "<{element}>{}</{element}>", escaped(text))
            .expect("a string takes everything");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_needs_nothing_else_and_shows_text_as_text() {
        let mut report = Report::new("<i>title</i>");
        report.heading("a & b");
        report.facts([("<script>", String::from("</script>"))]);
        report.table(&["x"], [vec![String::from("<td>")]]);
        report.figures([(String::from("<svg></svg>"), String::from("caption"))]);
        let html = report.end();
        assert!(!html.contains("<script") && !html.contains("<i>"), "{html}");
        assert!(html.contains("<td>&lt;td&gt;</td>") && html.contains("<svg></svg>"));
        assert!(html.contains("aria-label=\"a &amp; b\" tabindex=\"0\""), "{html}");
        for outside in ["http://", "https://", "src=", "href=", "url("] {
            assert!(!html.contains(outside), "{outside}");
        }
    }
}
