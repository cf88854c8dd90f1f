//! A sheet to draw on, which becomes an SVG.
//!
//! Colours are classes, told once in [`STYLE`]: so a picture follows the reader's light or dark scheme wherever it is shown, and
//! needs neither a script nor a font. `currentColor` carries a colour from a group to what is in it; viewers that know no custom
//! properties know that. Every text is escaped by `maud`, and coordinates have one way in, [`Canvas::px`], which notices what is not a
//! number.

use super::error::Error;
use super::text::Letter;
use maud::{Markup, html};

/// The colours, in both schemes. `ink` and `paper` are those of the page.
pub(crate) const STYLE: &str = "\
.chart{color:#1b1f24;background:#fff}\
.chart text{font-family:system-ui,'Helvetica Neue',Arial,sans-serif;fill:#1b1f24}\
.chart .paper{fill:#fff}.chart .faint{fill:#4d5661}.chart .on{fill:#111}\
.chart .grid{stroke:#d9dee4}.chart .axis{stroke:#6b7682}.chart .band{fill:#f1f3f5}\
.ink{color:#1b1f24}.orange{color:#e69f00}.sky{color:#56b4e9}.green{color:#009e73}\
.blue{color:#0072b2}.vermillion{color:#d55e00}.purple{color:#cc79a7}.grey{color:#666d75}.pale{color:#c8ced6}\
@media(prefers-color-scheme:dark){\
.chart{color:#e8eaed;background:#15181c}.chart text{fill:#e8eaed}.chart .paper{fill:#15181c}.chart .faint{fill:#aab2bb}.chart .on{fill:#111}\
.chart .grid{stroke:#333a42}.chart .axis{stroke:#8c96a1}.chart .band{fill:#1e2329}\
.ink{color:#e8eaed}.pale{color:#454d57}.sky{color:#7fcdf5}.green{color:#1fb98c}.grey{color:#737a82}.blue{color:#3c8fd6}.vermillion{color:#f07b26}}";

/// Which end of a text is at its place.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Anchor {
    /// It begins there.
    Start,
    /// It is centred there.
    Middle,
    /// It ends there.
    End,
}

/// The sheet.
#[derive(Debug, Default)]
pub(crate) struct Canvas {
    body: String,
    /// What was to be drawn at a place that is no number.
    unsound: Option<String>,
}

impl Canvas {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A coordinate, to a tenth of a pixel.
    pub(crate) fn px(&mut self, value: f64, what: &str) -> String {
        if !value.is_finite() {
            self.unsound.get_or_insert_with(|| what.to_owned());
        }
        let written = format!("{value:.1}");
        let short = written.strip_suffix(".0").unwrap_or(&written);
        if short == "-0" { "0".to_owned() } else { short.to_owned() }
    }

    /// Adds an element.
    pub(crate) fn put(&mut self, element: &Markup) {
        self.body.push_str(&element.0);
        self.body.push('\n');
    }

    /// A text; its middle line is at `y`.
    pub(crate) fn text(&mut self, (x, y): (f64, f64), anchor: Anchor, letter: Letter, text: &str) {
        self.written((x, y), anchor, letter, "", text);
    }

    /// A text that does not want to be read first.
    pub(crate) fn faint(&mut self, at: (f64, f64), anchor: Anchor, letter: Letter, text: &str) {
        self.written(at, anchor, letter, "faint", text);
    }

    /// A text on something that is filled by a colour: dark in both schemes.
    pub(crate) fn on_colour(&mut self, at: (f64, f64), anchor: Anchor, letter: Letter, text: &str) {
        self.written(at, anchor, letter, "on", text);
    }

    fn written(&mut self, (x, y): (f64, f64), anchor: Anchor, letter: Letter, class: &str, text: &str) {
        // The middle of the small letters is about a third of the size above the line that they stand on.
        let (x, y) = (self.px(x, text), self.px(y + letter.size() * 0.35, text));
        let anchor = match anchor {
            Anchor::Start => None,
            Anchor::Middle => Some("middle"),
            Anchor::End => Some("end"),
        };
        let (bold, class) = (letter.bold().then_some("bold"), (!class.is_empty()).then_some(class));
        let element = html! {
            text x=(x) y=(y) font-size=(letter.size()) font-weight=[bold] text-anchor=[anchor] class=[class] { (sound(text)) }
        };
        self.put(&element);
    }

    /// A straight line of a class: `grid` or `axis`.
    pub(crate) fn rule(&mut self, class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
        let [x1, y1, x2, y2] = [x1, y1, x2, y2].map(|value| self.px(value, class));
        self.put(&html! { line class=(class) x1=(x1) y1=(y1) x2=(x2) y2=(y2) {} });
    }

    /// A straight line in a colour.
    pub(crate) fn stroke(&mut self, colour: &str, width: f64, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
        let [x1, y1, x2, y2] = [x1, y1, x2, y2].map(|value| self.px(value, colour));
        self.put(
            &html! { line class=(colour) stroke="currentColor" stroke-width=(width) x1=(x1) y1=(y1) x2=(x2) y2=(y2) {} },
        );
    }

    /// A rectangle filled by a class.
    pub(crate) fn filled(&mut self, class: &str, (x, y): (f64, f64), (width, height): (f64, f64)) {
        let [x, y, width, height] = [x, y, width, height].map(|value| self.px(value, class));
        self.put(&html! { rect class=(class) x=(x) y=(y) width=(width) height=(height) {} });
    }

    /// A rectangle in a colour, filled or as an outline, with a text for who points at it.
    pub(crate) fn bar(
        &mut self,
        colour: &str,
        solid: bool,
        (x, y): (f64, f64),
        (width, height): (f64, f64),
        tip: &str,
    ) {
        // An outline lies within the bar.
        let inset = if solid { 0.0 } else { 0.6 };
        let sides = [x + inset, y + inset, (width - 2.0 * inset).max(0.0), (height - 2.0 * inset).max(0.0)];
        let [x, y, width, height] = sides.map(|value| self.px(value, tip));
        let (fill, stroke) = if solid { ("currentColor", None) } else { ("none", Some("currentColor")) };
        self.put(&html! {
            rect class=(colour) fill=(fill) stroke=[stroke] stroke-width=[stroke.map(|_| "1.2")] x=(x) y=(y) width=(width) height=(height) {
                @if !tip.is_empty() { title { (sound(tip)) } }
            }
        });
    }

    /// A line through points, in a colour.
    pub(crate) fn path(&mut self, colour: &str, width: f64, dash: &str, points: &[(f64, f64)]) {
        let mut steps = String::new();
        for (number, (x, y)) in points.iter().enumerate() {
            let (x, y) = (self.px(*x, colour), self.px(*y, colour));
            steps.push_str(&format!("{}{x} {y}", if number == 0 { "M" } else { "L" }));
        }
        let dash = (!dash.is_empty()).then_some(dash);
        self.put(&html! {
            path class=(colour) fill="none" stroke="currentColor" stroke-width=(width) stroke-dasharray=[dash] stroke-linejoin="round" d=(steps) {}
        });
    }

    /// The picture: `title` says what it is, `desc` what there is to be seen for who cannot see it.
    ///
    /// `own_style` for a file of its own; a page that has the style tells it once.
    pub(crate) fn finish(
        self,
        name: &str,
        title: &str,
        desc: &str,
        size: (f64, f64),
        own_style: bool,
    ) -> Result<String, Error> {
        if let Some(what) = self.unsound {
            return Err(Error::NotANumber { picture: name.to_owned(), what });
        }
        let (width, height) = (size.0.ceil(), size.1.ceil());
        let (title_id, desc_id) = (format!("{name}-title"), format!("{name}-desc"));
        let svg = html! {
            svg xmlns="http://www.w3.org/2000/svg" class="chart" role="img" aria-labelledby={(title_id) " " (desc_id)}
                width=(width) height=(height) viewBox={"0 0 " (width) " " (height)} {
                title id=(title_id) { (sound(title)) }
                desc id=(desc_id) { (sound(desc)) }
                @if own_style { style { (maud::PreEscaped(STYLE)) } }
                rect class="paper" width=(width) height=(height) {}
                (maud::PreEscaped(self.body))
            }
        };
        Ok(svg.into_string() + "\n")
    }
}

/// The text without what XML has no way of writing.
pub(crate) fn sound(text: &str) -> String {
    text.chars()
        .map(
            |letter| {
                if letter.is_control() || matches!(letter, '\u{fffe}' | '\u{ffff}') { ' ' } else { letter }
            },
        )
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_number_is_an_error() {
        let mut canvas = Canvas::new();
        canvas.rule("grid", (0.0, f64::NAN), (1.0, 1.0));
        let refused = canvas.finish("a", "A", "", (10.0, 10.0), true).unwrap_err();
        assert_eq!(refused.to_string(), "a: a coordinate is not a number: grid");
    }

    #[test]
    fn texts_are_escaped() {
        let mut canvas = Canvas::new();
        canvas.text((1.0, 1.0), Anchor::Start, Letter::Plain, "a<b> & \"c\"\u{0}");
        let svg = canvas.finish("a", "<script>", "&", (10.0, 10.0), true).unwrap();
        let parsed = roxmltree::Document::parse(&svg).unwrap();
        let text = parsed.descendants().find(|node| node.has_tag_name("text")).unwrap();
        assert_eq!(text.text(), Some("a<b> & \"c\" "));
    }
}
