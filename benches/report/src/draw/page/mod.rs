//! The report as a page: what was measured where, what to beware of, the pictures with how to read them, and the figures as tables.
//!
//! It is one file that works from a disk without a network, in a small window, without colours and without a script: what is long
//! is folded by the browser itself. `maud` escapes whatever comes from the results.

mod style;
mod tables;

use super::error::Error;
use super::number::figure;
use super::pictures::{self, Picture};
use crate::results::Results;
use maud::{DOCTYPE, Markup, PreEscaped, html};

/// How much of a list stands open in the page.
const OPEN: usize = 12;

/// The page.
pub(crate) fn page(results: &Results) -> Result<String, Error> {
    let mut pictures: Vec<Picture> = pictures::all(results);
    // Seven histograms in a row are in the way of who looks for something else: they are folded, together.
    let folded: Vec<Picture> = pictures.extract_if(.., |picture| is_histogram(&picture.name)).collect();
    let mut drawn = Vec::new();
    for picture in pictures {
        drawn.push((picture.name.clone(), picture.title.clone(), shown(picture)?));
    }
    let folded: Vec<Markup> = folded.into_iter().map(shown).collect::<Result<_, _>>()?;
    let tables = tables::all(results);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "Palimpsest beside its peers, " (results.date) }
                style { (PreEscaped(super::canvas::STYLE)) (PreEscaped(style::STYLE)) }
            }
            body {
                header {
                    h1 { "Palimpsest beside its peers" }
                    p { (summary(results)) }
                }
                nav aria-label="Contents" {
                    ul {
                        li { a href="#circumstances" { "Circumstances" } }
                        @for (name, title, _) in &drawn { li { a href={"#" (name)} { (title) } } }
                        @if !folded.is_empty() { li { a href="#histograms" { "Pauses, one by one" } } }
                        @if !tables.is_empty() { li { a href="#tables" { "Tables" } } }
                    }
                }
                main {
                    (circumstances(results))
                    @for (_, _, figure) in &drawn { (figure) }
                    @if !folded.is_empty() {
                        section id="histograms" {
                            h2 { "Pauses, one by one" }
                            details { summary { "Histograms of the pauses in " (many(folded.len(), "workload")) } @for figure in &folded { (figure) } }
                        }
                    }
                    @if !tables.is_empty() {
                        section id="tables" {
                            h2 { "Tables" }
                            p { (tables::HOW_TO_READ) }
                            @for table in &tables { (table) }
                        }
                    }
                }
            }
        }
    };
    Ok(page.into_string() + "\n")
}

fn is_histogram(name: &str) -> bool {
    name.starts_with("pauses-") && name != "pauses-by-heap"
}

fn shown(picture: Picture) -> Result<Markup, Error> {
    let (name, caption) = (picture.name.clone(), picture.caption.clone());
    let svg = picture.svg(false)?;
    // A small window shows a part of the picture that can be moved, and not a picture with letters that nobody can read.
    Ok(html! {
        figure id=(name) {
            div class="wide" tabindex="0" role="group" aria-label="Picture; scrolls sideways in a small window" { (PreEscaped(svg)) }
            figcaption { (caption) }
        }
    })
}

fn summary(results: &Results) -> String {
    let mut peers: Vec<&str> = results.runs.iter().map(|run| run.peer.as_str()).collect();
    peers.sort_unstable();
    peers.dedup();
    let rounds = results.runs.iter().map(|run| run.round + 1).max().unwrap_or(0);
    let noisy = results.runs.iter().filter(|run| run.noisy).count();
    let wall: f64 = results.runs.iter().map(|run| run.wall_s).filter(|wall| wall.is_finite()).sum();
    let noise = if noisy > 0 {
        format!(", {noisy} of them while the machine was busy with something else")
    } else {
        String::new()
    };
    let (runs, peers, rounds) =
        (many(results.runs.len(), "run"), many(peers.len(), "peer"), many(rounds as usize, "round"));
    format!("{runs} of {peers} in {rounds} at most, {} minutes of work{noise}.", figure(wall / 60.0))
}

/// A count of things in words.
fn many(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn circumstances(results: &Results) -> Markup {
    let date = if results.date.is_empty() { String::new() } else { format!("{} UTC", results.date) };
    let commit = if results.commit.is_empty() { "not known" } else { &results.commit };
    let when = [("date", date), ("commit", commit.to_owned()), ("command", results.command.clone())];
    let list = |pairs: &[(String, String)]| {
        html! { dl { @for (name, value) in pairs { dt { (name) } dd { (value) } } } }
    };
    html! {
        section id="circumstances" {
            h2 { "Circumstances" }
            @if !results.warnings.is_empty() {
                div class="warnings" role="note" {
                    h3 { "Before you believe a figure" }
                    ul { @for warning in results.warnings.iter().take(OPEN) { li { (warning) } } }
                    @if results.warnings.len() > OPEN {
                        details {
                            summary { "and " (results.warnings.len() - OPEN) " more" }
                            ul { @for warning in &results.warnings[OPEN..] { li { (warning) } } }
                        }
                    }
                }
            }
            dl { @for (name, value) in &when { @if !value.is_empty() { dt { (name) } dd { (value) } } } }
            @if !results.machine.is_empty() { h3 { "Machine" } (list(&results.machine)) }
            @if !results.versions.is_empty() { h3 { "Versions" } (list(&results.versions)) }
            @if !results.skipped.is_empty() { h3 { "Left out" } (list(&results.skipped)) }
        }
    }
}
