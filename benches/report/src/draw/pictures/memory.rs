//! How much memory programs take at their peak.

use super::Picture;
use super::throughput::told;
use crate::draw::axis::Axis;
use crate::draw::bars::{self, Bar, Panel, Row};
use crate::draw::number::Unit;
use crate::draw::palette::Palette;
use crate::draw::scale::{Kind, Scale};
use crate::measure::tables;
use crate::results::{Part, Results};

/// The largest proportional set of each peer.
pub(crate) fn peaks(results: &Results, palette: &Palette) -> Option<Picture> {
    let mut panels = Vec::new();
    for table in tables(results, Part::Programs) {
        let rows: Vec<Row> = table
            .groups
            .iter()
            .filter_map(|group| {
                let value = group.pss_mib()?;
                let bars = vec![Bar { value, range: None }];
                Some(Row {
                    peer: group.peer.to_owned(),
                    look: palette.look(group.peer),
                    bars,
                    figure: Unit::Mib.figure(value),
                    tip: String::new(),
                })
            })
            .collect();
        if let Some(scale) = Scale::around(Kind::Linear, rows.iter().map(|row| row.bars[0].value)) {
            let axis = Axis::new(scale, Unit::Plain, "peak of the proportional set, MiB");
            panels.push(Panel { title: table.name(), axis, base: 0.0, rows });
        }
    }
    if panels.is_empty() {
        return None;
    }
    let caption = "The proportional set counts a page that several processes share once, in equal parts: the sum over a program and its \
         worker processes is the memory that would be free without them. It is sampled in runs made for it, and short peaks between two \
         samples are missed. Each panel has its own scale, from zero.";
    let subtitle =
        "Largest proportional set (PSS) of the program with its worker processes. Shorter is better.";
    Some(Picture::new(
        "memory",
        "Peak memory of whole programs",
        subtitle,
        caption,
        &told(&panels),
        |canvas, top| bars::draw(canvas, top, &panels),
    ))
}
