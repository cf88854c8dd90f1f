//! What is measured: groups of options as in the book, and for each the workloads on which they matter.

/// A group of options.
pub(crate) struct Group {
    pub(crate) name: &'static str,
    pub(crate) rows: &'static [Row],
}

/// A workload, and settings of it. The first is what the others are compared with.
pub(crate) struct Row {
    pub(crate) workload: &'static str,
    pub(crate) settings: &'static [&'static str],
}

pub(crate) const GROUPS: &[Group] = &[
    Group {
        name: "memory",
        rows: &[
            Row { workload: "gcbench 16 18", settings: &["", "limit=128M", "limit=96M", "limit=80M"] },
            Row { workload: "gcbench 16 18", settings: &["", "soft-limit=64M", "soft-limit=48M"] },
            Row {
                workload: "graph 128",
                settings: &["", "preimage-limit=256M", "preimage-limit=32M", "preimage-limit=8M"],
            },
            Row { workload: "msgmap 200000 10", settings: &["", "leaf-huge-pages=on"] },
        ],
    },
    Group {
        name: "pacing",
        rows: &[
            Row {
                workload: "gcbench 18 20",
                settings: &[
                    "",
                    "young=off",
                    "growth=50",
                    "growth=200",
                    "min-headroom=4M",
                    "min-headroom=64M",
                ],
            },
            Row {
                workload: "binarytrees 18 1",
                settings: &["", "young=off", "cycle-every=4M", "min-headroom=4M", "min-headroom=64M"],
            },
            Row {
                workload: "msgmap 200000 10",
                settings: &["", "young=off", "growth=50", "growth=200", "cycle-every=64M", "cycle-every=16M"],
            },
            Row { workload: "graph 128", settings: &["", "young=off", "cycle-every=16M"] },
        ],
    },
    Group {
        name: "snapshots",
        rows: &[Row {
            workload: "gcbench 18 20",
            settings: &[
                "",
                "rung=preimage/monitor",
                "rung=preimage/protect",
                "rung=forkcow",
                "rung=forkcow/async",
                "rung=stw",
                "rung=stw/async",
            ],
        }],
    },
    Group {
        name: "workers",
        rows: &[Row { workload: "gcbench 18 20", settings: &["young=off", "young=off,workers=2"] }],
    },
];
