//! Cards, boxes and wires as SVG.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::place::{CARD_HEAD, CARRY, Layout, Rect, Title, chip_rows, chip_text, chip_width};
use super::scene::{Card, Kind, Scene};
use super::style;

/// The text of the SVG file.
pub(super) fn draw(scene: &Scene, layout: &Layout) -> String {
    let mut pen = Pen::default();
    let (width, height) = (layout.width.ceil(), layout.height.ceil());
    let head = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\">"
    );
    pen.line(&head);
    let title = scene.frames.first().map_or("", |frame| &frame.module);
    pen.line(&format!("<title>{}</title>", escape(title)));
    pen.line(&format!("<style>\n{}</style>", style::CSS));
    pen.rect(
        "paper",
        Rect {
            x: 0.0,
            y: 0.0,
            width,
            height,
        },
        0.0,
    );
    for (rect, title, several) in &layout.boxes {
        pen.frame(*rect, title, *several);
    }
    for trace in &layout.traces {
        pen.trace(trace);
    }
    for (card, (rect, title)) in scene.cards.iter().zip(&layout.cards) {
        pen.card(card, *rect, title.as_ref());
    }
    for (x, y) in &layout.ports {
        pen.line(&format!(
            "<circle class=\"port\" cx=\"{}\" cy=\"{}\" r=\"2.6\"/>",
            num(*x),
            num(*y)
        ));
    }
    for (x, y, text) in &layout.labels {
        pen.text("label", *x, *y, &escape(text));
    }
    pen.line("</svg>");
    pen.out
}

#[derive(Default)]
struct Pen {
    out: String,
}

impl Pen {
    fn line(&mut self, text: &str) {
        self.out.push_str(text);
        self.out.push('\n');
    }

    fn rect(&mut self, class: &str, rect: Rect, radius: f64) {
        let Rect {
            x,
            y,
            width,
            height,
        } = rect;
        let (x, y, width, height) = (num(x), num(y), num(width), num(height));
        self.line(&format!(
            "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"{radius}\"/>"
        ));
    }

    /// `content` is escaped already.
    fn text(&mut self, class: &str, x: f64, y: f64, content: &str) {
        let class = if class.is_empty() {
            String::new()
        } else {
            format!(" class=\"{class}\"")
        };
        let (x, y) = (num(x), num(y));
        self.line(&format!(
            "<text{class} x=\"{x}\" y=\"{y}\" xml:space=\"preserve\">{content}</text>"
        ));
    }

    fn frame(&mut self, rect: Rect, title: &Title, several: bool) {
        if several {
            // A pile of sheets: there are more of the same.
            for shift in [8.0, 4.0] {
                let behind = Rect {
                    x: rect.x + shift,
                    y: rect.y + shift,
                    ..rect
                };
                self.rect("behind", behind, 12.0);
            }
            self.rect("paper", rect, 12.0);
        }
        self.rect("box", rect, 12.0);
        self.title(title, rect.x + 14.0, rect.y + 21.0);
    }

    fn title(&mut self, title: &Title, x: f64, y: f64) {
        let mut content = String::new();
        let parts = [
            ("", &title.name),
            ("count", &title.count),
            ("module", &title.module),
        ];
        for (class, part) in parts.into_iter().filter(|(_, part)| !part.is_empty()) {
            let gap = if content.is_empty() { "" } else { " dx=\"7\"" };
            let class = if class.is_empty() || (class == "module" && gap.is_empty()) {
                String::new()
            } else {
                format!(" class=\"{class}\"")
            };
            // Writing to a `String` cannot fail.
            let _ = write!(content, "<tspan{class}{gap}>{}</tspan>", escape(part));
        }
        self.text("title", x, y, &content);
    }

    fn card(&mut self, card: &Card, rect: Rect, title: Option<&Title>) {
        if matches!(card.kind, Kind::Input | Kind::Output) {
            self.rect("pill", rect, rect.height / 2.0);
            for line in &card.lines {
                self.text("", rect.x + 14.0, rect.y + 17.5, &escape(line));
            }
            return;
        }
        self.rect("card", rect, 7.0);
        let bar = Rect {
            x: rect.x + 5.0,
            y: rect.y + 7.0,
            width: 3.0,
            height: rect.height - 14.0,
        };
        self.rect(&format!("bar {}", style::class(card.kind)), bar, 1.5);
        let left = rect.x + 16.0;
        let mut y = rect.y + 7.0;
        if let Some(title) = title {
            self.title(title, left, y + 13.0);
            y += CARD_HEAD;
        }
        for line in &card.lines {
            self.text("", left, y + 12.5, &highlight(line));
            y += style::LINE;
        }
        for text in &card.carried {
            let content = format!("<tspan class=\"word\">↻ {}</tspan>", escape(text));
            self.text("", left, y + 12.5, &content);
            y += style::LINE;
        }
        for row in chip_rows(card, rect.width - super::place::CARD_PAD) {
            let mut x = left;
            for index in row {
                let width = chip_width(card, index);
                self.rect(
                    "chip",
                    Rect {
                        x,
                        y: y + 3.0,
                        width,
                        height: 16.0,
                    },
                    8.0,
                );
                self.text(
                    "chiptext",
                    x + 7.0,
                    y + 14.5,
                    &escape(&chip_text(card, index)),
                );
                x += width + 6.0;
            }
            y += style::CHIP;
        }
        if !card.carried.is_empty() {
            self.carry(rect);
        }
    }

    /// The arrow from the end of a step to its beginning.
    fn carry(&mut self, rect: Rect) {
        let (x, out) = (rect.x + rect.width, rect.x + rect.width + CARRY - 2.0);
        let (low, high) = (rect.y + rect.height - 16.0, rect.y + 16.0);
        let (a, b, c, d) = (num(x), num(low), num(out), num(high));
        self.line(&format!(
            "<path class=\"carry\" d=\"M{a} {b} C{c} {b} {c} {b} {c} {} L{c} {} C{c} {d} {c} {d} {} {d}\"/>",
            num(low - 16.0),
            num(high + 16.0),
            num(x + 7.0),
        ));
        self.line(&format!(
            "<path class=\"carrytip\" d=\"M{a} {d} l7.5 -3.6 v7.2 z\"/>"
        ));
    }

    fn trace(&mut self, trace: &super::place::Trace) {
        let mut drawn: BTreeSet<[u64; 4]> = BTreeSet::new();
        let mut path = String::new();
        let mut tips = Vec::new();
        for (points, ends_at_card) in &trace.ways {
            let mut at = None;
            let short = if *ends_at_card { 6.0 } else { 0.0 };
            for (position, pair) in points.windows(2).enumerate() {
                let ((x0, y0), (x1, mut y1)) = (pair[0], pair[1]);
                if position + 2 == points.len() {
                    y1 -= short;
                }
                // Ways of one value share their first pieces.
                if !drawn.insert([x0, y0, x1, y1].map(f64::to_bits)) {
                    continue;
                }
                if at != Some((x0.to_bits(), y0.to_bits())) {
                    let _ = write!(path, "M{} {}", num(x0), num(y0));
                }
                if (x0 - x1).abs() < 0.5 {
                    let _ = write!(path, "L{} {}", num(x1), num(y1));
                } else {
                    let middle = num(f64::midpoint(y0, y1));
                    let (x0, x1, y1) = (num(x0), num(x1), num(y1));
                    let _ = write!(path, "C{x0} {middle} {x1} {middle} {x1} {y1}");
                }
                at = Some((x1.to_bits(), pair[1].1.to_bits()));
            }
            if let (true, Some((x, y))) = (*ends_at_card, points.last()) {
                tips.push((*x, *y));
            }
        }
        self.line(&format!("<path class=\"wire\" d=\"{path}\"/>"));
        for (x, y) in tips {
            self.line(&format!(
                "<path class=\"tip\" d=\"M{} {} l-3.6 -7.5 h7.2 z\"/>",
                num(x),
                num(y)
            ));
        }
    }
}

/// A line of an equation with its words colored.
fn highlight(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some(c) = rest.chars().next() {
        let word = |c: char| c.is_alphanumeric() || c == '_';
        let number = c.is_ascii_digit();
        let length = if word(c) {
            rest.find(|c: char| !(word(c) || number && c == '.'))
                .unwrap_or(rest.len())
        } else {
            c.len_utf8()
        };
        let (token, after) = rest.split_at(length);
        match style::word_class(line, token) {
            Some(class) => {
                let _ = write!(out, "<tspan class=\"{class}\">{}</tspan>", escape(token));
            }
            None => out.push_str(&escape(token)),
        }
        rest = after;
    }
    out
}

/// Text for XML. Control characters, which XML does not know, are gone.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            _ if c.is_control() => {}
            _ => out.push(c),
        }
    }
    out
}

/// One decimal is enough for pixels, and the same on every machine.
fn num(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}
