//! A picture as text: SVG elements are appended, all text escaped; and a reader that says whether such a text is well formed.

use std::fmt::Write as _;

use crate::measure::{Outcome, must};

/// An SVG that is being written.
pub struct Picture {
    text: String,
    width: f64,
}

/// Text and attribute values as XML wants them.
pub fn escape(text: &str) -> String {
    text.chars().fold(String::new(), |mut all, sign| {
        match sign {
            '&' => all.push_str("&amp;"),
            '<' => all.push_str("&lt;"),
            '>' => all.push_str("&gt;"),
            '"' => all.push_str("&quot;"),
            sign if sign.is_control() => all.push(' '),
            sign => all.push(sign),
        }
        all
    })
}

impl Picture {
    /// An empty one of a width, with a style sheet and what reads it aloud.
    pub fn new(width: f64, style: &str, title: &str) -> Self {
        let text = format!("<title>{}</title>\n<style>{}</style>\n", escape(title), escape(style));
        Self { text, width }
    }

    /// A rectangle; `title` is shown where a pointer rests on it.
    pub fn rectangle(&mut self, class: &str, [x, y, width, height]: [f64; 4], title: &str) {
        let (width, class) = (width.max(0.0), escape(class));
        let _ = write!(
            self.text,
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\""
        );
        match title {
            "" => self.text.push_str("/>\n"),
            title => self.text += &format!("><title>{}</title></rect>\n", escape(title)),
        }
    }

    /// A line.
    pub fn line(&mut self, class: &str, [x, y, to_x, to_y]: [f64; 4]) {
        let class = escape(class);
        let _ = writeln!(
            self.text,
            "<line class=\"{class}\" x1=\"{x:.1}\" y1=\"{y:.1}\" x2=\"{to_x:.1}\" y2=\"{to_y:.1}\"/>"
        );
    }

    /// A piece of text.
    pub fn text(&mut self, class: &str, x: f64, y: f64, text: &str) {
        let (class, text) = (escape(class), escape(text));
        let _ = writeln!(self.text, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>");
    }

    /// The whole document, of a height.
    pub fn finish(self, height: f64) -> String {
        let (width, text) = (self.width, self.text);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" role=\"img\">\n{text}</svg>\n"
        )
    }
}

/// Demands that a text without comments and sections is well-formed XML.
pub fn check(text: &str) -> Outcome {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find('<') {
        let outside = &rest[..start];
        must(entities(outside), format!("a bare & or > in {outside:?}"))?;
        let end = rest.find('>').filter(|end| *end > start).unwrap_or(start);
        let tag = &rest[start + 1..end.max(start + 1)];
        rest = &rest[(end + 1).min(rest.len())..];
        must(!tag.is_empty(), "a < without its >")?;
        if let Some(name) = tag.strip_prefix('/') {
            let opened = open.pop();
            must(opened == Some(name), format!("</{name}> ends {opened:?}"))?;
            continue;
        }
        let body = tag.strip_suffix('/').unwrap_or(tag);
        let (name, attributes) = body.split_once(' ').unwrap_or((body, ""));
        must(quoted(attributes), format!("wrong attributes: <{tag}>"))?;
        if body.len() == tag.len() {
            open.push(name);
        }
        must(!open.is_empty(), "a second root")?;
    }
    must(open.is_empty() && rest.trim().is_empty(), format!("not ended: {open:?} {rest:?}"))
}

/// Whether each & begins an entity and there is no >.
fn entities(text: &str) -> bool {
    let known = ["amp;", "lt;", "gt;", "quot;"];
    !text.contains('>')
        && text.split('&').skip(1).all(|after| known.iter().any(|name| after.starts_with(name)))
}

/// Whether this is name="value" and again.
fn quoted(attributes: &str) -> bool {
    let mut rest = attributes.trim();
    while !rest.is_empty() {
        let Some((name, after)) = rest.split_once("=\"") else { return false };
        let Some((value, after)) = after.split_once('"') else { return false };
        let plain = |sign: char| sign.is_ascii_alphanumeric() || sign == '-' || sign == ':';
        if name.is_empty() || !name.chars().all(plain) || !entities(value) || value.contains('<') {
            return false;
        }
        rest = after.trim_start();
    }
    true
}
