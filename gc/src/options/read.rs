//! Reading option strings, and who gave what.
//!
//! An option that several have given is taken from the nearest: a call of the builder, before a string given to the builder,
//! before the environment. Among equals the last one counts, so that a string can be extended at its end.

use super::error::OptionError;
use super::table::{POISON, ROWS, RUNG, Row, STRESS, VERIFY};
use super::value::Value;
use super::{Options, VARIABLE};
use crate::error::Error;
use palimpsest_runtime::ladder::{self, By};
use std::ffi::OsString;

/// Longer strings are not looked at.
const LONGEST: usize = 4096;

/// What is quoted of a name or a value in a message.
const QUOTED: usize = 48;

/// Who gave an option: the further down, the nearer.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Source {
    /// An environment variable.
    Environment(&'static str),
    /// A string given to the builder.
    Text,
    /// A call of the builder.
    Call,
}

/// Which options were given, and by whom.
#[derive(Clone, Default, Debug)]
pub(crate) struct Given(Vec<(&'static str, Source)>);

impl Given {
    /// Who gave the option.
    fn by(&self, name: &str) -> Option<Source> {
        self.0.iter().find(|(given, _)| *given == name).map(|(_, source)| *source)
    }

    fn note(&mut self, name: &'static str, source: Source) {
        self.0.retain(|(given, _)| *given != name);
        self.0.push((name, source));
    }
}

impl Options {
    /// A call of the builder. [`Options::finish`] looks at the value.
    pub(crate) fn choose<T: Value>(&mut self, given: &mut Given, row: &Row<T>, value: T) {
        row.put(self, value);
        given.note(row.name(), Source::Call);
    }

    /// Takes what a string gives.
    pub(crate) fn read(&mut self, given: &mut Given, text: &str, source: Source) -> Result<(), OptionError> {
        if text.len() > LONGEST {
            let why = format!("options of {} bytes: at most {LONGEST}", text.len());
            return Err(OptionError::Malformed(why));
        }
        if text.trim().is_empty() {
            return Ok(());
        }
        for item in text.split(',') {
            self.read_item(given, item.trim(), source)?;
        }
        Ok(())
    }

    fn read_item(&mut self, given: &mut Given, item: &str, source: Source) -> Result<(), OptionError> {
        if item.is_empty() {
            let why = "an option is missing beside a comma; options are name=value, with commas between them";
            return Err(OptionError::Malformed(why.into()));
        }
        let (name, value) =
            item.split_once('=').map_or((item, None), |(n, v)| (n.trim_end(), Some(v.trim_start())));
        let Some(row) = ROWS.iter().find(|row| row.about().name == name) else {
            return Err(OptionError::Unknown { name: quoted(name), meant: nearest(name) });
        };
        let about = row.about();
        let wrong = |why| OptionError::Value { option: about.name, item: quoted(item), why };
        let value =
            value.ok_or_else(|| wrong(format!("a value is missing: {}={}", about.name, about.value)))?;
        let nearer = given.by(about.name).is_some_and(|other| other > source);
        row.take(self, value, nearer).map_err(wrong)?;
        if !nearer {
            given.note(about.name, source);
        }
        Ok(())
    }

    /// Takes what nobody nearer has given from the environment, and looks at all values. Returns who chose the rung.
    pub(crate) fn finish(&mut self, given: &mut Given, environment: Option<OsString>) -> Result<By, Error> {
        if let Some(text) = environment {
            let source = Source::Environment(VARIABLE);
            let text = text
                .to_str()
                .ok_or_else(|| OptionError::Malformed("the value is not UTF-8; options are ASCII".into()));
            text.and_then(|text| self.read(given, text, source)).map_err(|problem| {
                OptionError::Environment { variable: VARIABLE, problem: Box::new(problem) }
            })?;
        }
        let rung = given.by(RUNG.name());
        if rung.is_none_or(|by| matches!(by, Source::Environment(_)))
            && let Some(wish) = ladder::from_environment()?
        {
            RUNG.put(self, wish);
            given.note(RUNG.name(), Source::Environment(ladder::VARIABLE));
        }
        if given.by(STRESS.name()).is_some() {
            for row in [&VERIFY, &POISON] {
                if given.by(row.name()).is_none() {
                    row.put(self, true);
                }
            }
        }
        for row in &ROWS {
            row.check(self).map_err(|(value, why)| {
                let option = row.about().name;
                OptionError::Value { option, item: format!("{option}={value}"), why }
            })?;
        }
        Ok(match given.by(RUNG.name()) {
            None => By::Default,
            Some(Source::Environment(variable)) => By::Environment(variable),
            Some(Source::Text | Source::Call) => By::Builder,
        })
    }
}

/// The beginning of a text, with nothing in it that a terminal would act on.
fn quoted(text: &str) -> String {
    let mut quoted: String = text.chars().take(QUOTED).flat_map(char::escape_debug).collect();
    if text.chars().nth(QUOTED).is_some() {
        quoted.push_str("...");
    }
    quoted
}

/// The option whose name this nearly is.
fn nearest(name: &str) -> Option<&'static str> {
    if name.len() > QUOTED {
        return None;
    }
    let name = name.to_ascii_lowercase();
    let distances =
        ROWS.iter().map(|row| (distance(name.as_bytes(), row.about().name.as_bytes()), row.about().name));
    // A third of a name may be wrong; beyond that it would be a guess.
    distances.min().filter(|(edits, meant)| *edits <= 1.max(meant.len() / 3)).map(|(_, meant)| meant)
}

/// How many letters have to be added, left out, changed, or swapped with the next (Damerau and Levenshtein's distance, where no
/// letter is edited twice).
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let changed = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = changed.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HostFork;
    use crate::Snapshot;
    use crate::options::table::{
        CYCLE_EVERY, GROWTH, HOST_FORK, IDLE_AFTER, LEAF_HUGE_PAGES, LIMIT, MIN_HEADROOM, PREIMAGE_LIMIT,
        RESERVE, SOFT_LIMIT, WORKER_CHAOS, WORKER_PATIENCE, WORKERS, YOUNG,
    };
    use crate::options::{all, check};
    use palimpsest_runtime::Bytes;
    use std::os::unix::ffi::OsStringExt;
    use std::time::Duration;

    fn new() -> Options {
        Options::new(Bytes::mib(64))
    }

    fn finished(mut options: Options, mut given: Given, environment: Option<&str>) -> (Options, By) {
        let by = options.finish(&mut given, environment.map(OsString::from)).expect("options");
        (options, by)
    }

    fn by_text(text: &str) -> Options {
        let (mut options, mut given) = (new(), Given::default());
        options.read(&mut given, text, Source::Text).expect("options");
        finished(options, given, None).0
    }

    fn by_call<T: Value>(row: &Row<T>, value: T) -> Options {
        let (mut options, mut given) = (new(), Given::default());
        options.choose(&mut given, row, value);
        finished(options, given, None).0
    }

    fn error(text: &str) -> String {
        check(text).expect_err(text).to_string()
    }

    /// Where the variable for rungs is set, it is what the tests are to run on.
    fn rung_is_forced() -> bool {
        std::env::var_os(ladder::VARIABLE).is_some()
    }

    #[test]
    fn every_option_means_the_same_whichever_way_it_comes() {
        let stw = Wish::from(Snapshot::StopTheWorld);
        use palimpsest_runtime::ladder::Wish;
        let cases = [
            ("limit=3M", by_call(&LIMIT, Bytes::mib(3))),
            ("preimage-limit=2G", by_call(&PREIMAGE_LIMIT, Bytes(2 << 30))),
            ("soft-limit=5M", by_call(&SOFT_LIMIT, Bytes::mib(5))),
            ("reserve=0", by_call(&RESERVE, Bytes(0))),
            ("idle-after=1s", by_call(&IDLE_AFTER, Duration::from_secs(1))),
            ("leaf-huge-pages=on", by_call(&LEAF_HUGE_PAGES, true)),
            ("growth=400", by_call(&GROWTH, 400)),
            ("min-headroom=1M", by_call(&MIN_HEADROOM, Bytes::mib(1))),
            ("cycle-every=65536", by_call(&CYCLE_EVERY, Bytes(65_536))),
            ("young=off", by_call(&YOUNG, false)),
            ("rung=stw", by_call(&RUNG, stw)),
            ("workers=3", by_call(&WORKERS, 3)),
            ("worker-patience=250ms", by_call(&WORKER_PATIENCE, Duration::from_millis(250))),
            ("host-fork=copy", by_call(&HOST_FORK, HostFork::Copy)),
            ("stress=1000", by_call(&STRESS, 1000)),
            ("verify=on", by_call(&VERIFY, true)),
            ("poison=on", by_call(&POISON, true)),
            ("worker-chaos=7", by_call(&WORKER_CHAOS, 7)),
        ];
        let names: Vec<_> = cases.iter().map(|(text, _)| text.split('=').next().unwrap()).collect();
        assert_eq!(names, all().map(|option| option.name).collect::<Vec<_>>(), "a case for each option");
        let plain = finished(new(), Given::default(), None).0;
        for (text, by_call) in cases {
            if text.starts_with("rung") && rung_is_forced() {
                continue;
            }
            assert_ne!(by_call, plain, "{text}");
            assert_eq!(by_text(text), by_call, "{text}, as a string");
            assert_eq!(
                finished(new(), Given::default(), Some(text)).0,
                by_call,
                "{text}, from the environment"
            );
            assert_eq!(by_text(&by_call.to_string()), by_call, "{text}, shown and read");
        }
    }

    #[test]
    fn defaults_in_words_are_the_defaults() {
        for row in &ROWS {
            let default = row.about().default;
            match row.show(&new()) {
                Some(value) if row.about().name != LIMIT.name() => {
                    assert!(default.starts_with(&value), "{default}")
                }
                _ => {}
            }
        }
    }

    #[test]
    fn what_is_shown_is_what_is_set() {
        if !rung_is_forced() {
            assert_eq!(finished(new(), Given::default(), None).0.to_string(), "limit=64M");
            let text = "stress=5,rung=forkcow,poison=off";
            assert_eq!(by_text(text).to_string(), "limit=64M,rung=forkcow,stress=5,verify=on,poison=off");
        }
    }

    #[test]
    fn the_nearest_wins_and_among_equals_the_last() {
        let (mut options, mut given) = (new(), Given::default());
        options.choose(&mut given, &LIMIT, Bytes::mib(8));
        options.read(&mut given, "limit=9M,cycle-every=1M,stress=2", Source::Text).unwrap();
        options.read(&mut given, "cycle-every=3M, cycle-every = 2M", Source::Text).unwrap();
        options.choose(&mut given, &VERIFY, false);
        let environment = "limit=10M,cycle-every=4M,stress=3,verify=on,worker-chaos=5";
        let (options, by) = finished(options, given, Some(environment));
        assert_eq!((options.limit, options.cycle_every), (Bytes::mib(8), Some(Bytes::mib(2))));
        assert_eq!((options.stress, options.verify, options.poison), (Some(2), false, true));
        assert_eq!(options.chaos.odds(), Some(5));
        if !rung_is_forced() {
            assert_eq!(by, By::Default);
            let (_, by) = finished(new(), Given::default(), Some("rung=stw"));
            assert_eq!(by, By::Environment(VARIABLE));
        }
    }

    #[test]
    fn each_mistake_is_named() {
        let names = "limit, preimage-limit, soft-limit, reserve,";
        let unknown = error("limt=5M");
        assert!(
            unknown.starts_with("unknown option `limt`; did you mean `limit`? options are: "),
            "{unknown}"
        );
        assert!(unknown.contains(names), "{unknown}");
        for (text, meant) in [
            ("cycle_every=1M", "cycle-every"),
            ("ilmit=1M", "limit"),
            ("LIMIT=1M", "limit"),
            ("chaos", "none"),
            ("heap-size=1M", "none"),
            ("", "none"),
        ] {
            assert_eq!(nearest(text.split('=').next().unwrap()).unwrap_or("none"), meant, "{text}");
        }
        assert_eq!(
            error("heap-size=1M").split(names).next(),
            Some("unknown option `heap-size`; options are: ")
        );
        assert_eq!(error("cycle-every=0"), "`cycle-every=0`: at least 64K");
        assert_eq!(error("limit=1000"), "`limit=1000`: at least 1M");
        assert_eq!(error("limit=5T"), "`limit=5T`: at most 4T");
        assert_eq!(error("stress=0"), "`stress=0`: at least 1");
        assert_eq!(error("worker-chaos=4294967296"), "`worker-chaos=4294967296`: at most 4294967295");
        assert_eq!(error("worker-patience=0s"), "`worker-patience=0s`: at least 1ms");
        assert_eq!(error("verify=perhaps"), "`verify=perhaps`: on or off");
        assert_eq!(error("host-fork=x"), "`host-fork=x`: no-heap or copy");
        assert_eq!(error("stress"), "`stress`: a value is missing: stress=COUNT");
        assert_eq!(
            error("limit=99999999999999999999"),
            "`limit=99999999999999999999`: the number is too large"
        );
        assert!(error("limit=").contains("512M") && error("limit=much").contains("25%"));
        assert!(error("rung=best").contains("preimage, forkcow or stw"));
        for text in [",", "limit=1M,", ",limit=1M", "limit=1M,,stress=1", " , "] {
            assert!(error(text).contains("beside a comma"), "{text:?}");
        }
        for text in ["", "  ", " limit = 1M , stress=1"] {
            assert_eq!(check(text), Ok(()), "{text:?}");
        }
    }

    #[test]
    fn hostile_strings_get_short_answers() {
        let long = "limit=1M,".repeat(1_000_000);
        assert_eq!(error(&long), "options of 9000000 bytes: at most 4096");
        for text in [
            "x".repeat(4096),
            format!("limit={}", "9".repeat(4000)),
            format!("rung={}", "x".repeat(4000)),
            "\u{1b}[2J=1".into(),
            "=".into(),
            "é=1".into(),
        ] {
            let why = error(&text);
            assert!(why.len() < 400 && !why.contains('\u{1b}'), "{why}");
        }
    }

    #[test]
    fn values_of_calls_are_looked_at_too() {
        let (mut options, mut given) = (new(), Given::default());
        options.choose(&mut given, &CYCLE_EVERY, Bytes(0));
        let why = options.finish(&mut given, None).unwrap_err().to_string();
        assert_eq!(why, "`cycle-every=0`: at least 64K");
    }

    #[test]
    fn what_is_wrong_in_the_environment_names_the_variable() {
        let wrong = |text: OsString| new().finish(&mut Given::default(), Some(text)).unwrap_err().to_string();
        assert_eq!(wrong("stress=0".into()), "PALIMPSEST_OPTIONS: `stress=0`: at least 1");
        let bytes = OsString::from_vec(vec![b'l', 0xff, b'=']);
        assert_eq!(wrong(bytes), "PALIMPSEST_OPTIONS: the value is not UTF-8; options are ASCII");
        // Also where a call has set the option: what is in the environment is a mistake all the same.
        let (mut options, mut given) = (new(), Given::default());
        options.choose(&mut given, &STRESS, 5);
        assert!(options.finish(&mut given, Some("stress=no".into())).is_err());
    }

    #[test]
    fn edits_are_counted() {
        for (a, b, edits) in
            [("", "", 0), ("abc", "", 3), ("abc", "acb", 1), ("abc", "abxc", 1), ("kitten", "sitting", 3)]
        {
            assert_eq!(
                (distance(a.as_bytes(), b.as_bytes()), distance(b.as_bytes(), a.as_bytes())),
                (edits, edits)
            );
        }
    }
}
