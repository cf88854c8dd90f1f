//! The colours of the pictures are told apart by everybody, on white and on black.
//!
//! How they are seen with one kind of cones missing is simulated by the matrices of Machado, Oliveira and Fernandes (2009) for
//! full severity, on linear light. The difference of two colours is their distance in CIE L*a*b*.

mod support;

use palimpsest_report::draw::pictures;

/// What is hard to see beside each other is nearer than this; one is what a trained eye notices in the best of cases.
const APART: f64 = 10.0;

const EYES: [(&str, [[f64; 3]; 3]); 4] = [
    ("all cones", [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]),
    (
        "protanopia",
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    ),
    (
        "deuteranopia",
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    ),
    (
        "tritanopia",
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
    ),
];

/// `#rrggbb` as linear light.
fn light(hex: &str) -> [f64; 3] {
    let channel = |at: usize| f64::from(u8::from_str_radix(&hex[at..at + 2], 16).expect("a colour")) / 255.0;
    [1, 3, 5].map(channel).map(|c| if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) })
}

fn seen(eye: &[[f64; 3]; 3], [r, g, b]: [f64; 3]) -> [f64; 3] {
    eye.map(|[by_r, by_g, by_b]| (by_r * r + by_g * g + by_b * b).clamp(0.0, 1.0))
}

fn luminance([r, g, b]: [f64; 3]) -> f64 {
    0.2126 * r + 0.7152 * g + 0.0722 * b
}

fn lab(rgb: [f64; 3]) -> [f64; 3] {
    let [r, g, b] = rgb;
    let f = |t: f64| if t > 0.008856 { t.cbrt() } else { 7.787 * t + 16.0 / 116.0 };
    let x = f((0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.9505);
    let (y, z) = (f(luminance(rgb)), f((0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.089));
    [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
}

/// The classes of a style that are colours of peers, and their values.
fn colours(style: &str) -> Vec<(String, String)> {
    let rule = |rule: &str| {
        let (selector, body) = rule.split_once('{')?;
        let name = selector.trim().strip_prefix('.')?;
        let value = body.strip_prefix("color:")?;
        (name != "pale" && name != "chart").then(|| (name.to_owned(), value.trim().to_owned()))
    };
    style.split('}').filter_map(rule).collect()
}

#[test]
fn colours_are_told_apart() {
    let (_, svg) = pictures(&support::full()).unwrap().remove(0);
    let style = svg.split("<style>").nth(1).and_then(|rest| rest.split("</style>").next()).expect("a style");
    let (bright, dark) = style.split_once("@media(prefers-color-scheme:dark){").expect("two schemes");
    let bright = colours(bright);
    assert_eq!(bright.len(), 8, "{bright:?}");
    // What the dark scheme does not change is as it was.
    let changed = colours(dark);
    let or = |(name, value): &(String, String)| {
        let new = changed.iter().find(|(other, _)| other == name).map_or(value, |(_, new)| new);
        (name.clone(), new.clone())
    };
    let dark: Vec<(String, String)> = bright.iter().map(or).collect();
    for (scheme, colours, paper) in [("light", bright, "#ffffff"), ("dark", dark, "#15181c")] {
        for (number, (name, value)) in colours.iter().enumerate() {
            let (ink, paper) = (luminance(light(value)) + 0.05, luminance(light(paper)) + 0.05);
            let contrast = ink.max(paper) / ink.min(paper);
            assert!(contrast > 2.2, "{scheme}: {name} on the paper: {contrast:.1}");
            for (other, other_value) in &colours[..number] {
                for (eye, matrix) in &EYES {
                    let [one, two] = [value, other_value].map(|value| lab(seen(matrix, light(value))));
                    let apart = one.iter().zip(two).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
                    assert!(apart > APART, "{scheme}, {eye}: {name} and {other} are {apart:.1} apart");
                }
            }
        }
    }
}
