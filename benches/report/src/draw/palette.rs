//! Who is drawn how: one colour, mark and dash for each peer, the same in all pictures.
//!
//! The colours are those of Okabe and Ito, which people with any of the common forms of colour blindness tell apart, but for yellow,
//! which nobody sees on white, and with a grey; a test simulates how they are seen. There are fewer of them than peers. So the colour says the family (how it collects), and the mark and the dash say which one of it: nobody has to
//! rely on the colour alone. Our own default is the boldest line.

use super::canvas::Canvas;
use crate::results::Results;
use maud::html;
use std::collections::BTreeMap;

/// The shape that stands at a measured point.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Mark {
    Circle,
    Square,
    Diamond,
    Up,
    Down,
    Cross,
    Plus,
    Star,
    /// Of what is not measured.
    Nothing,
}

/// How a peer is drawn.
#[derive(Copy, Clone, PartialEq, Debug)]
pub(crate) struct Look {
    /// A class of the style.
    pub(crate) colour: &'static str,
    pub(crate) mark: Mark,
    /// Whether the mark is filled.
    pub(crate) solid: bool,
    /// `stroke-dasharray`; empty for a continuous line.
    pub(crate) dash: &'static str,
    /// The width of its line.
    pub(crate) weight: f64,
}

impl Look {
    /// Whether this is the collector that the report is about.
    pub(crate) fn ours(&self) -> bool {
        self.mark == Mark::Circle && self.solid
    }

    /// Draws the mark.
    pub(crate) fn mark(&self, canvas: &mut Canvas, (x, y): (f64, f64), tip: &str) {
        let size = if self.ours() { 5.2 } else { 4.2 };
        let across = |points: &[(f64, f64)]| -> Vec<(f64, f64)> {
            points.iter().map(|(right, down)| (x + right * size, y + down * size)).collect()
        };
        let (outlines, open): (Vec<Vec<(f64, f64)>>, bool) = match self.mark {
            Mark::Circle => (vec![across(&ring(12))], false),
            Mark::Square => (vec![across(&[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)])], false),
            Mark::Diamond => (vec![across(&[(0.0, -1.25), (1.1, 0.0), (0.0, 1.25), (-1.1, 0.0)])], false),
            Mark::Up => (vec![across(&[(0.0, -1.2), (1.15, 0.85), (-1.15, 0.85)])], false),
            Mark::Down => (vec![across(&[(0.0, 1.2), (1.15, -0.85), (-1.15, -0.85)])], false),
            Mark::Cross => {
                (vec![across(&[(-0.9, -0.9), (0.9, 0.9)]), across(&[(-0.9, 0.9), (0.9, -0.9)])], true)
            }
            Mark::Plus => {
                (vec![across(&[(0.0, -1.15), (0.0, 1.15)]), across(&[(-1.15, 0.0), (1.15, 0.0)])], true)
            }
            Mark::Star => (vec![across(&star())], false),
            Mark::Nothing => return,
        };
        let mut steps = String::new();
        for outline in outlines {
            for (number, (x, y)) in outline.iter().enumerate() {
                let (x, y) = (canvas.px(*x, tip), canvas.px(*y, tip));
                steps.push_str(&format!("{}{x} {y}", if number == 0 { "M" } else { "L" }));
            }
            if !open {
                steps.push('Z');
            }
        }
        // A hollow mark covers the line beneath it.
        let class =
            if self.solid || open { self.colour.to_owned() } else { format!("{} paper", self.colour) };
        let fill = if self.solid && !open { Some("currentColor") } else { None };
        canvas.put(&html! {
            path class=(class) fill=[fill] stroke="currentColor" stroke-width="1.6" stroke-linejoin="round" d=(steps) {
                @if !tip.is_empty() { title { (super::canvas::sound(tip)) } }
            }
        });
    }
}

fn ring(corners: u32) -> Vec<(f64, f64)> {
    (0..corners)
        .map(|corner| (std::f64::consts::TAU * f64::from(corner) / f64::from(corners)).sin_cos())
        .collect()
}

fn star() -> Vec<(f64, f64)> {
    let spread = |corner: u32| if corner.is_multiple_of(2) { 1.4 } else { 0.6 };
    let turn = |corner: u32| std::f64::consts::TAU * f64::from(corner) / 10.0;
    (0..10)
        .map(|corner| (turn(corner).sin() * spread(corner), -turn(corner).cos() * spread(corner)))
        .collect()
}

const DASHED: &str = "7 4";
const DOTTED: &str = "2 3";
const BOTH: &str = "8 3 2 3";

/// Those who are known, in the order in which they are listed.
const KNOWN: [(&str, Look); 14] = [
    ("palimpsest", look("vermillion", Mark::Circle, true, "", 3.6)),
    ("palimpsest preimage/signal", look("vermillion", Mark::Circle, false, DASHED, 2.2)),
    ("palimpsest preimage/monitor", look("orange", Mark::Up, true, "", 2.0)),
    ("palimpsest preimage/protect", look("orange", Mark::Up, false, DASHED, 2.0)),
    ("palimpsest forkcow", look("sky", Mark::Square, true, "", 2.0)),
    ("palimpsest forkcow/async", look("sky", Mark::Square, false, DASHED, 2.0)),
    ("palimpsest stw", look("blue", Mark::Down, true, "", 2.0)),
    ("palimpsest stw/async", look("blue", Mark::Down, false, DASHED, 2.0)),
    ("bdwgc", look("green", Mark::Diamond, true, "", 1.8)),
    ("bdwgc-par", look("green", Mark::Diamond, false, DASHED, 1.8)),
    ("bdwgc-inc", look("purple", Mark::Diamond, true, BOTH, 1.8)),
    ("malloc", look("ink", Mark::Cross, true, DOTTED, 1.8)),
    ("mimalloc", look("grey", Mark::Plus, true, DASHED, 1.8)),
    ("bump", look("grey", Mark::Square, false, DOTTED, 1.8)),
];

const fn look(colour: &'static str, mark: Mark, solid: bool, dash: &'static str, weight: f64) -> Look {
    Look { colour, mark, solid, dash, weight }
}

/// The looks of all peers of a report.
#[derive(Debug)]
pub(crate) struct Palette {
    /// Name, and place in the order of listing.
    looks: BTreeMap<String, (usize, Look)>,
}

impl Palette {
    /// The looks of those who ran. Who is not known gets a look that nobody else has, in the order of the names.
    pub(crate) fn of(results: &Results) -> Self {
        let colours = ["purple", "ink", "blue", "green", "grey", "sky", "orange"];
        let others = [("", true), (DASHED, false), (BOTH, true), (DOTTED, false)];
        let spare = others
            .iter()
            .flat_map(|(dash, solid)| colours.map(|colour| look(colour, Mark::Star, *solid, dash, 1.8)));
        let mut spare = spare.cycle();
        let mut names: Vec<&str> = results.runs.iter().map(|run| run.peer.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let mut looks = BTreeMap::new();
        for (number, name) in names.into_iter().enumerate() {
            let known = KNOWN.iter().position(|(known, _)| *known == name);
            let place_and_look = match (known, spare.next()) {
                (Some(place), _) => (place, KNOWN[place].1),
                (None, Some(look)) => (KNOWN.len() + number, look),
                (None, None) => continue,
            };
            looks.insert(name.to_owned(), place_and_look);
        }
        Self { looks }
    }

    /// The look of a peer that ran.
    pub(crate) fn look(&self, peer: &str) -> Look {
        self.looks.get(peer).map_or(KNOWN[0].1, |(_, look)| *look)
    }

    /// All peers, in the order of listing.
    pub(crate) fn peers(&self) -> Vec<&str> {
        let mut peers: Vec<(usize, &str)> =
            self.looks.iter().map(|(name, (place, _))| (*place, name.as_str())).collect();
        peers.sort_unstable();
        peers.into_iter().map(|(_, name)| name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_look_the_same() {
        let same = |one: &Look, other: &Look| {
            (one.colour, one.mark, one.solid, one.dash) == (other.colour, other.mark, other.solid, other.dash)
        };
        for (number, (name, look)) in KNOWN.iter().enumerate() {
            for (other, other_look) in &KNOWN[..number] {
                assert!(!same(look, other_look), "{name} and {other}");
                let told_without_colour = (look.mark, look.solid) != (other_look.mark, other_look.solid)
                    || look.dash != other_look.dash;
                assert!(told_without_colour, "{name} and {other} differ by nothing but the colour");
            }
        }
    }

    #[test]
    fn we_are_the_boldest() {
        assert!(KNOWN[0].1.ours());
        assert!(KNOWN[1..].iter().all(|(_, look)| look.weight < KNOWN[0].1.weight && !look.ours()));
    }
}
