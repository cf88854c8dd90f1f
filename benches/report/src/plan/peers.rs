//! Who takes part: programs with what they are given.

/// A program that runs the workloads in its own way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Peer {
    /// Its name in tables and pictures.
    pub name: String,
    /// The program, which lies beside the report's.
    pub program: String,
    /// What it is given before the workload.
    pub arguments: Vec<String>,
    /// What its environment has beside ours.
    pub environment: Vec<(String, String)>,
    /// Whether it never frees anything.
    pub keeps_all: bool,
    /// Whether the kernel may copy all of its heap.
    pub copies: bool,
}

impl Peer {
    /// Ours, on the rung that a heap takes by itself.
    pub fn best(program: &str) -> Self {
        Self::program("palimpsest", program)
    }

    /// Ours, on a rung.
    pub fn rung(program: &str, rung: &str) -> Self {
        let arguments = vec!["--rung".into(), rung.into()];
        let copies = rung.starts_with("forkcow");
        Self { arguments, copies, ..Self::program(&format!("palimpsest {rung}"), program) }
    }

    /// A program that is given nothing but the workload.
    pub fn program(name: &str, program: &str) -> Self {
        Self {
            name: name.into(),
            program: program.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            keeps_all: false,
            copies: false,
        }
    }

    /// Those in C: the conservative collector in its three modes, explicit frees, and one that frees nothing.
    ///
    /// The parallel mode marks on every processor, and on two at least.
    pub fn others(processors: usize) -> Vec<Self> {
        let bdwgc = |name: &str, markers: usize| Self {
            environment: vec![("GC_MARKERS".into(), markers.to_string())],
            ..Self::program(name, "peer-bdwgc")
        };
        let mut incremental = bdwgc("bdwgc-inc", 1);
        incremental.environment.push(("GC_ENABLE_INCREMENTAL".into(), "1".into()));
        vec![
            bdwgc("bdwgc", 1),
            bdwgc("bdwgc-par", processors.max(2)),
            incremental,
            Self::program("malloc", "peer-malloc"),
            Self::program("mimalloc", "peer-mimalloc"),
            Self { keeps_all: true, ..Self::program("bump", "peer-bump") },
        ]
    }

    /// Whether it is ours.
    pub fn is_ours(&self) -> bool {
        matches("palimpsest", &self.name) || matches("palimpsest *", &self.name)
    }
}

/// Whether a name is meant by a filter: the name itself, or its beginning with a `*` after it.
pub fn matches(filter: &str, name: &str) -> bool {
    match filter.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => filter == name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_a_name_or_its_beginning() {
        assert!(matches("malloc", "malloc") && !matches("malloc", "mimalloc"));
        assert!(matches("bdwgc*", "bdwgc") && matches("bdwgc*", "bdwgc-inc"));
        assert!(!matches("palimpsest", "palimpsest stw") && matches("palimpsest*", "palimpsest stw"));
    }

    #[test]
    fn names_differ_and_ours_are_known() {
        let mut peers = Peer::others(1);
        assert!(peers.iter().all(|peer| !peer.is_ours()));
        peers.extend([Peer::best("workload"), Peer::rung("workload", "stw")]);
        assert_eq!(peers.iter().filter(|peer| peer.is_ours()).count(), 2);
        for (k, peer) in peers.iter().enumerate() {
            assert!(peers[..k].iter().all(|other| other.name != peer.name), "{}", peer.name);
        }
        assert_eq!(peers[1].environment, [("GC_MARKERS".to_owned(), "2".to_owned())]);
    }
}
