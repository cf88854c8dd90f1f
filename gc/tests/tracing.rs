//! What the crate `tracing` is told. The subscriber is the process's, so this test is alone in its file.

mod common;

use common::{Nodes, new_node};
use palimpsest::events::Tracing;
use palimpsest::{Heap, Kind, PlainPointers, Snapshot, StackScan};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// The fields of an event or a span, as text.
#[derive(Clone, Default, Debug)]
struct Fields(BTreeMap<&'static str, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}").trim_matches('"').into());
    }
}

#[derive(Clone, Debug)]
struct Seen {
    level: Level,
    fields: Fields,
    /// The span it is in.
    parent: Option<u64>,
}

#[derive(Debug)]
struct Span {
    fields: Fields,
    closed: bool,
}

#[derive(Clone, Default)]
struct Collect {
    events: Arc<Mutex<Vec<Seen>>>,
    spans: Arc<Mutex<BTreeMap<u64, Span>>>,
    ids: Arc<AtomicU64>,
    /// How many handles there are to each span.
    handles: Arc<Mutex<BTreeMap<u64, u64>>>,
}

impl Subscriber for Collect {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "palimpsest"
    }
    fn new_span(&self, span: &Attributes<'_>) -> Id {
        assert_eq!((span.metadata().name(), span.is_root()), ("cycle", true));
        let id = self.ids.fetch_add(1, Relaxed) + 1;
        let mut fields = Fields::default();
        span.record(&mut fields);
        self.spans.lock().unwrap().insert(id, Span { fields, closed: false });
        self.handles.lock().unwrap().insert(id, 1);
        Id::from_u64(id)
    }
    fn record(&self, span: &Id, values: &Record<'_>) {
        values.record(&mut self.spans.lock().unwrap().get_mut(&span.into_u64()).unwrap().fields);
    }
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let parent = event.parent().map(Id::into_u64);
        self.events.lock().unwrap().push(Seen { level: *event.metadata().level(), fields, parent });
    }
    fn enter(&self, _: &Id) {
        panic!("nobody enters a span of the collector");
    }
    fn exit(&self, _: &Id) {}
    fn clone_span(&self, id: &Id) -> Id {
        *self.handles.lock().unwrap().get_mut(&id.into_u64()).unwrap() += 1;
        id.clone()
    }
    fn try_close(&self, id: Id) -> bool {
        let mut handles = self.handles.lock().unwrap();
        let left = handles.get_mut(&id.into_u64()).unwrap();
        *left -= 1;
        if *left == 0 {
            self.spans.lock().unwrap().get_mut(&id.into_u64()).unwrap().closed = true;
        }
        *left == 0
    }
}

#[test]
fn a_run_with_failures_is_told_to_tracing() {
    let seen = Collect::default();
    tracing::subscriber::set_global_default(seen.clone()).expect("no other subscriber in this process");
    let builder = Heap::builder(PlainPointers).limit(16 << 20).listener(Tracing::new());
    let nodes = Nodes::new(builder.worker_chaos(1).worker_patience(Duration::from_millis(50)));
    let mut m = nodes.heap.attach(StackScan::Conservative).unwrap();
    // So many that misfortune strikes before they are marked.
    let list =
        (0..150_000).fold(std::ptr::null_mut(), |list, number| new_node(&mut m, nodes.kind, list, number));
    (0..10).for_each(|_| _ = m.collect());
    let error = m.alloc(Kind::LEAF, 1 << 30).unwrap_err();
    std::hint::black_box(list);
    let stats = nodes.heap.stats();

    let events = seen.events.lock().unwrap().clone();
    let named = |message: &str| -> Vec<&Seen> {
        events.iter().filter(|event| event.fields.0["message"].starts_with(message)).collect()
    };
    let field = |event: &Seen, name: &str| {
        event.fields.0.get(name).unwrap_or_else(|| panic!("{name} of {event:?}")).clone()
    };
    assert_eq!((named("heap made").len(), field(named("heap made")[0], "rung")), (1, stats.rung.clone()));
    let cycles = stats.cycles + stats.failures;
    let spans = seen.spans.lock().unwrap();
    assert_eq!(spans.len() as u64, cycles);
    for (message, level, count) in [
        ("cycle began", Level::DEBUG, cycles),
        ("pause ended", Level::DEBUG, cycles),
        ("cycle ended", Level::INFO, cycles),
        ("cycle fell back", Level::WARN, stats.fallbacks),
        ("worker failed", Level::WARN, stats.failures),
    ] {
        let events = named(message);
        assert_eq!(events.len() as u64, count, "{message}");
        for event in events {
            let span = &spans[&event.parent.expect("it is in a cycle")];
            assert_eq!(span.fields.0["number"], field(event, "number"), "{message}");
            assert_eq!(event.level, level, "{message}");
        }
    }
    if stats.snapshot != Snapshot::StopTheWorld {
        assert!(stats.failures > 0, "{stats}");
    }
    for name in ["pause_ms", "stop_ms", "arm_ms", "fork_ms", "mark_ms", "resume_ms"] {
        assert!(field(named("pause ended")[0], name).parse::<f64>().is_ok(), "{name}");
    }
    assert_eq!(
        (field(named("cycle began")[0], "reason"), field(named("cycle began")[0], "scope")),
        ("explicit".into(), "full".into())
    );
    let failed = spans.values().filter(|span| span.fields.0["failed"] == "true").count() as u64;
    assert_eq!(failed, stats.failures);
    assert!(spans.values().all(|span| span.closed), "{spans:?}");
    let [memory] = named("out of memory")[..] else { panic!("one") };
    assert_eq!((memory.level, memory.parent), (Level::ERROR, None));
    assert_eq!(field(memory, "requested_bytes"), error.requested.0.to_string());
}
