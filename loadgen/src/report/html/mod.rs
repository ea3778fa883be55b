//! Reports as a page with charts: one file, without scripts and without anything from elsewhere.
//!
//! In reading order:
//! - `scale`: axes
//! - `chart`: charts as SVG
//! - `runs`: the page of one or more runs, `--html` and `loadgen page`
//! - this file: what all pages share

pub(crate) mod chart;
mod runs;
pub(crate) mod scale;

use std::fmt::Write;

use chart::escaped;

pub(crate) use runs::{latency_chart, p99_chart, page, throughput_chart};

const STYLE: &str = include_str!("style.css");

/// A whole page; the title is text, the body markup.
pub(crate) fn document(title: &str, body: &str) -> String {
    let title = escaped(title);
    // The policy makes sure of what the page promises: it asks nobody for anything.
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>{title}</title>\n\
         <style>\n{STYLE}</style></head>\n<body>\n<h1>{title}</h1>\n{body}</body></html>\n"
    )
}

/// A table; cells are markup, the first of each row its name.
pub(crate) fn table(head: &[String], rows: &[Vec<String>]) -> String {
    let mut text = String::from("<div class=\"scroll\"><table><thead><tr>");
    // Writing to a string cannot fail, here and below.
    for cell in head {
        let _ = write!(text, "<th>{cell}</th>");
    }
    text.push_str("</tr></thead><tbody>\n");
    for row in rows {
        text.push_str("<tr>");
        for cell in row {
            let _ = write!(text, "<td>{cell}</td>");
        }
        text.push_str("</tr>\n");
    }
    text + "</tbody></table></div>\n"
}

/// A name with its colour before it.
pub(crate) fn swatch(subject: usize, name: &str) -> String {
    format!("<span class=\"swatch c{}\"></span>{}", subject % 6, escaped(name))
}
