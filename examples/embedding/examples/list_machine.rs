//! A small list machine: a reader, an evaluator and a printer for S-expressions, whose cells are objects of the collector. It is
//! `examples/c/list_machine.c` once more, in Rust on the raw interface, and the code of the guide.
//!
//! `cargo run --example list_machine -- demo`, or without `demo` for a program from standard input. `--gc-log` shows every cycle,
//! and `--gc stress=1` finds mistakes.

use palimpsest::events::Listener;
use palimpsest::{
    Address, CycleRecord, Embedder, Frozen, Heap, Kind, Layout, Mutator, RootRange, Roots, StackScan, Tracer,
    WeakTable,
};
use std::error::Error;
use std::io::{Read, Write};

// guide: words
/// A word: a number if its lowest bit is 1, otherwise the address of an object, or 0, the empty list.
type Value = u64;

const NIL: Value = 0;

/// The first word of every object says what it is. Its lowest bit is 1, so it is no reference.
const SYMBOL: u64 = 1;
const PAIR: u64 = 3;
const PRIMITIVE: u64 = 5;
const CLOSURE: u64 = 7;
const VECTOR: u64 = 9;

struct Language;

// SAFETY: all methods depend on their arguments alone, and on memory that is frozen while they run. A word with the lowest bit 0 is an
// object's address or 0.
unsafe impl Embedder for Language {
    fn decode(&self, word: u64) -> Option<Address> {
        (word & 1 == 0 && word != NIL).then(|| Address::new(word as usize))
    }

    fn layout(&self, header: u64) -> Layout {
        match header {
            PAIR | CLOSURE => Layout::mask(0b110),
            VECTOR => Layout::native(ITEMS),
            _ => Layout::leaf(),
        }
    }

    fn trace(&self, id: u16, object: &Frozen<'_>, tracer: &mut Tracer<'_>) {
        if id == ITEMS {
            trace_vector(object, tracer);
        }
    }
}
// end guide

// guide: trace
/// The number of the trace function for vectors: objects of two words, of which the second is the address of this.
const ITEMS: u16 = 1;
type Items = Vec<Value>;

/// Runs in another process, or in the stopped world. It allocates nothing, and takes no lock.
fn trace_vector(object: &Frozen<'_>, tracer: &mut Tracer<'_>) {
    let mut words = [0; 2];
    object.load(0, &mut words);
    // SAFETY: the address of a vector's items, or 0. They are as they were when the snapshot was taken.
    let items = unsafe { (words[1] as *const Items).as_ref() };
    for (at, item) in items.into_iter().flatten().enumerate() {
        if at % 1024 == 1023 && !tracer.goes_on() {
            return;
        }
        tracer.word(*item);
    }
}
// end guide

/// Values that a computation needs: memory that the collector reads.
struct Stack {
    start: *mut Value,
    /// Where the pointer to the first unused word is.
    top: *mut *const Value,
    roots: Option<Roots>,
}

const DEPTH: usize = 65536;

impl Stack {
    // guide: roots
    fn new(heap: &Heap<Language>) -> Result<Self, palimpsest::Error> {
        let start = Box::into_raw(vec![NIL; DEPTH].into_boxed_slice()).cast::<Value>();
        let top = Box::into_raw(Box::new(start.cast_const()));
        let mut stack = Self { start, top, roots: None };
        // SAFETY: both stay where they are until `drop`, which takes the range from the roots first; they are
        // written to by this thread, through raw pointers.
        stack.roots = Some(unsafe { heap.try_add_roots(RootRange::UpTo { start, top }) }?);
        Ok(stack)
    }
    // end guide

    fn len(&self) -> usize {
        // SAFETY: the top is in the same memory as the start.
        unsafe { (*self.top).offset_from(self.start) as usize }
    }

    fn truncate(&mut self, len: usize) {
        assert!(len <= self.len());
        // SAFETY: at most where the top was; written volatile, since the collector reads it.
        unsafe { self.top.write_volatile(self.start.add(len)) };
    }

    fn push(&mut self, value: Value) -> Result<(), Failure> {
        let at = self.len();
        if at == DEPTH {
            return Err("the stack is full".into());
        }
        // SAFETY: within the stack; the word is written before it is part of the roots.
        unsafe {
            self.start.add(at).write_volatile(value);
            self.top.write_volatile(self.start.add(at + 1));
        }
        Ok(())
    }

    fn pop(&mut self) -> Value {
        let last = self.len() - 1;
        let value = self.get(last);
        self.truncate(last);
        value
    }

    fn get(&self, at: usize) -> Value {
        assert!(at < self.len());
        // SAFETY: below the top.
        unsafe { self.start.add(at).read() }
    }

    fn set(&mut self, at: usize, value: Value) {
        assert!(at < self.len());
        // SAFETY: below the top.
        unsafe { self.start.add(at).write_volatile(value) };
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.roots = None;
        // SAFETY: both were made by `Box::into_raw`, and are no roots any more.
        unsafe {
            drop(Box::from_raw(self.top));
            drop(Box::from_raw(std::ptr::slice_from_raw_parts_mut(self.start, DEPTH)));
        }
    }
}

type Failure = Box<dyn Error>;
type Primitive = fn(&mut Machine, Value, Value) -> Result<Value, Failure>;

fn number(value: Value) -> Result<i64, Failure> {
    if value & 1 == 1 { Ok(value as i64 >> 1) } else { Err("a number was expected".into()) }
}

fn of_number(number: i64) -> Value {
    (number as u64) << 1 | 1
}

fn is(value: Value, tag: u64) -> bool {
    // SAFETY: a value is a number, 0, or an object with a header; and it is reachable, as all values in hand are.
    value != NIL && value & 1 == 0 && unsafe { *(value as *const u64) == tag }
}

/// A word of an object that is a pair or a closure: 1 or 2.
fn part(value: Value, word: usize) -> Result<*mut Value, Failure> {
    if is(value, PAIR) || is(value, CLOSURE) {
        Ok((value as *mut u64).wrapping_add(word))
    } else {
        Err("a list was expected".into())
    }
}

fn first(value: Value) -> Result<Value, Failure> {
    // SAFETY: a word of a pair.
    Ok(unsafe { *part(value, 1)? })
}

fn rest(value: Value) -> Result<Value, Failure> {
    // SAFETY: a word of a pair.
    Ok(unsafe { *part(value, 2)? })
}

// guide: store
/// The object may be old, and the collector may be marking it: a store is a store.
fn set_rest(pair: Value, value: Value) -> Result<(), Failure> {
    // SAFETY: a word of a pair.
    unsafe { *part(pair, 2)? = value };
    Ok(())
}
// end guide

/// The items of a vector.
fn items(value: Value) -> Result<*mut Items, Failure> {
    if !is(value, VECTOR) {
        return Err("a vector was expected".into());
    }
    // SAFETY: the second word of a vector.
    Ok(unsafe { *(value as *const u64).add(1) } as *mut Items)
}

fn name_of(symbol: Value) -> &'static [u8] {
    // SAFETY: a symbol's length, and so many bytes. The callers use the name before the next safepoint.
    unsafe {
        let symbol = symbol as *const u64;
        std::slice::from_raw_parts(symbol.add(2).cast(), *symbol.add(1) as usize)
    }
}

fn hash(name: &[u8]) -> u64 {
    name.iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

/// The program's text, as it comes.
struct Input<'a> {
    from: &'a mut dyn Read,
    bytes: [u8; 4096],
    at: usize,
    len: usize,
}

struct Machine {
    stack: Stack,
    symbols: WeakTable,
    mutator: Mutator<Language>,
}

/// Where on the stack the global variables are, an association list.
const VARIABLES: usize = 0;

impl Machine {
    // guide: heap
    fn new(options: &str, log: bool) -> Result<Self, Failure> {
        let mut builder = Heap::builder(Language).limit(64 << 20).options(options)?;
        if log {
            builder = builder.listener(Log);
        }
        let heap = builder.build()?;
        let mutator = heap.attach(StackScan::None)?;
        let mut machine = Self { stack: Stack::new(&heap)?, symbols: WeakTable::new(&heap)?, mutator };
        machine.stack.push(NIL)?;
        Ok(machine)
    }
    // end guide

    // guide: allocate
    fn new_object(&mut self, kind: Kind, tag: u64, bytes: usize) -> Result<*mut u64, Failure> {
        // Zeroed, in a place where it stays. An error if the heap is full, even after a collection.
        let object = self.mutator.alloc(kind, bytes)?.cast::<u64>().as_ptr();
        // SAFETY: the first word of a new object.
        unsafe { object.write(tag) };
        Ok(object)
    }

    fn tagged(&mut self, tag: u64, first: Value, rest: Value) -> Result<Value, Failure> {
        // The allocation may reclaim what no root leads to.
        self.stack.push(first)?;
        self.stack.push(rest)?;
        let pair = self.new_object(Kind::HEADED, tag, 24)?;
        // SAFETY: the other words of the new object.
        unsafe {
            pair.add(2).write(self.stack.pop());
            pair.add(1).write(self.stack.pop());
        }
        Ok(pair as Value)
    }
    // end guide

    fn cons(&mut self, first: Value, rest: Value) -> Result<Value, Failure> {
        self.tagged(PAIR, first, rest)
    }

    // guide: symbols
    /// The symbol of this name: always the same object, for as long as anything refers to it.
    fn symbol(&mut self, name: &[u8]) -> Result<Value, Failure> {
        let hash = hash(name);
        let same = |symbol: Address| name_of(symbol.as_usize() as Value) == name;
        if let Some(symbol) = self.symbols.find(&mut self.mutator, hash, same) {
            return Ok(symbol.as_usize() as Value);
        }
        // A symbol has no references: as a leaf, it is never write-protected and never scanned.
        let symbol = self.new_object(Kind::LEAF, SYMBOL, 16 + name.len())?;
        // SAFETY: the length, and room for so many bytes.
        unsafe {
            symbol.add(1).write(name.len() as u64);
            symbol.add(2).cast::<u8>().copy_from_nonoverlapping(name.as_ptr(), name.len());
        }
        self.symbols.insert(&mut self.mutator, hash, Address::from_ptr(symbol))?;
        Ok(symbol as Value)
    }
    // end guide

    // guide: external
    /// An empty vector, whose items are going to lie in native memory.
    fn vector(&mut self) -> Result<Value, Failure> {
        let vector = self.new_object(Kind::HEADED, VECTOR, 16)?;
        // No page tells of writes to native memory: every young cycle looks at the items of a vector that is registered. And when
        // nothing refers to the vector any more, it is queued.
        self.mutator.register_external(Address::from_ptr(vector), 0)?;
        // SAFETY: the second word of the vector.
        unsafe { vector.add(1).write(Box::into_raw(Box::<Items>::default()) as u64) };
        Ok(vector as Value)
    }
    // end guide

    // guide: finalizers
    /// Frees the items of vectors that nothing refers to.
    fn free_dead_vectors(&mut self) {
        while let Some((vector, _)) = self.mutator.take_finalizable() {
            let word = vector.as_ptr::<u64>().wrapping_add(1);
            // SAFETY: the second word of a vector, which has the address of its items until here.
            let items = unsafe { word.replace(0) } as *mut Items;
            // Only now: another vector in the queue may lead the collector to this one, where it then finds 0.
            // SAFETY: from `Box::into_raw`, and nobody has it any more.
            drop(unsafe { Box::from_raw(items) });
        }
    }
    // end guide

    // guide: blocking
    /// The next byte of the program. Where it has to be waited for, the collector does not wait for this thread.
    fn byte(&mut self, input: &mut Input<'_>) -> Result<Option<u8>, Failure> {
        if input.at == input.len {
            input.at = 0;
            input.len = self.mutator.blocking(|| input.from.read(&mut input.bytes))?;
        }
        let byte = input.bytes[..input.len].get(input.at).copied();
        input.at += usize::from(byte.is_some());
        Ok(byte)
    }
    // end guide

    /// The next byte that is no space and in no comment.
    fn token(&mut self, input: &mut Input<'_>) -> Result<Option<u8>, Failure> {
        let mut comment = false;
        loop {
            match self.byte(input)? {
                Some(b';') => comment = true,
                Some(b'\n') => comment = false,
                Some(byte) if comment || byte.is_ascii_whitespace() => {}
                other => return Ok(other),
            }
        }
    }

    /// The elements of a list, in order; the first cell stays on the stack while more is read.
    fn read_list(&mut self, input: &mut Input<'_>) -> Result<Value, Failure> {
        let (head, mut last) = (self.stack.len(), NIL);
        self.stack.push(NIL)?;
        loop {
            let byte = self.token(input)?.ok_or("the program ends in the middle of a list")?;
            if byte == b')' {
                return Ok(self.stack.pop());
            }
            let element = self.read(input, byte)?;
            let cell = self.cons(element, NIL)?;
            if last == NIL {
                self.stack.set(head, cell)
            } else {
                set_rest(last, cell)?
            }
            // Reachable from the first.
            last = cell;
        }
    }

    fn read(&mut self, input: &mut Input<'_>, start: u8) -> Result<Value, Failure> {
        if start == b'(' {
            return self.read_list(input);
        }
        let mut word = vec![start];
        while let Some(byte) = self.byte(input)? {
            if byte.is_ascii_whitespace() || matches!(byte, b'(' | b')') {
                // It is read once more.
                input.at -= 1;
                break;
            }
            word.push(byte);
        }
        match std::str::from_utf8(&word)?.parse() {
            Ok(number) => Ok(of_number(number)),
            Err(_) => self.symbol(&word),
        }
    }

    /// The cell of an association list that has the name and its value.
    fn find(&self, name: Value, mut variables: Value) -> Result<Option<Value>, Failure> {
        while variables != NIL {
            let binding = first(variables)?;
            if first(binding)? == name {
                return Ok(Some(binding));
            }
            variables = rest(variables)?;
        }
        Ok(None)
    }

    /// Calls what lies at `frame` on the stack with the arguments behind it.
    fn apply(&mut self, frame: usize, arguments: usize) -> Result<Value, Failure> {
        let callee = self.stack.get(frame);
        let argument = |stack: &Stack, at| if at <= arguments { stack.get(frame + at) } else { NIL };
        if is(callee, PRIMITIVE) {
            // SAFETY: the second word of a primitive is a function of this type.
            let function: Primitive = unsafe { std::mem::transmute(*(callee as *const usize).add(1)) };
            let (a, b) = (argument(&self.stack, 1), argument(&self.stack, 2));
            return function(self, a, b);
        }
        if !is(callee, CLOSURE) {
            return Err("a function was expected".into());
        }
        // A closure is ((parameters body) . variables), and its code is reachable from the frame.
        let code = first(callee)?;
        let (mut parameters, variables) = (first(code)?, self.stack.len());
        self.stack.push(rest(callee)?)?;
        for at in 1..=arguments {
            if parameters == NIL {
                break;
            }
            let binding = self.cons(first(parameters)?, self.stack.get(frame + at))?;
            let extended = self.cons(binding, self.stack.get(variables))?;
            self.stack.set(variables, extended);
            parameters = rest(parameters)?;
        }
        self.eval(first(rest(code)?)?, self.stack.get(variables))
    }

    // guide: safepoint
    /// The value of an expression. Everything that a computation is in the middle of is on the stack.
    fn eval(&mut self, code: Value, variables: Value) -> Result<Value, Failure> {
        let base = self.stack.len();
        self.stack.push(code)?;
        self.stack.push(variables)?;
        // Code that does not allocate says now and then that the collector may stop it: a load and a branch.
        self.mutator.poll();
        let result = self.eval_kept(code, variables);
        self.stack.truncate(base);
        result
    }
    // end guide

    /// The same, of what is on the stack.
    fn eval_kept(&mut self, code: Value, variables: Value) -> Result<Value, Failure> {
        if code & 1 == 1 || code == NIL {
            return Ok(code);
        }
        if is(code, SYMBOL) {
            let local = self.find(code, variables)?;
            let cell =
                local.map_or_else(|| self.find(code, self.stack.get(VARIABLES)), |cell| Ok(Some(cell)))?;
            return rest(cell.ok_or("a variable has no value")?);
        }
        let operands = rest(code)?;
        let name = if is(first(code)?, SYMBOL) { name_of(first(code)?) } else { b"" };
        match name {
            b"quote" => first(operands),
            b"if" => {
                let mut which = rest(operands)?;
                if self.eval(first(operands)?, variables)? == NIL {
                    which = rest(which)?;
                }
                self.eval(first(which)?, variables)
            }
            b"lambda" => self.tagged(CLOSURE, operands, variables),
            b"define" => {
                let binding = self.cons(first(operands)?, NIL)?;
                self.define(binding)?;
                let result = self.eval(first(rest(operands)?)?, variables)?;
                // The binding is old by now, perhaps.
                let binding = self.find(first(operands)?, self.stack.get(VARIABLES))?;
                set_rest(binding.ok_or("a variable has no value")?, result)?;
                Ok(result)
            }
            _ => {
                let (frame, mut list) = (self.stack.len(), code);
                while list != NIL {
                    let value = self.eval(first(list)?, variables)?;
                    self.stack.push(value)?;
                    list = rest(list)?;
                }
                self.apply(frame, self.stack.len() - frame - 1)
            }
        }
    }

    fn define(&mut self, binding: Value) -> Result<(), Failure> {
        let variables = self.cons(binding, self.stack.get(VARIABLES))?;
        self.stack.set(VARIABLES, variables);
        Ok(())
    }

    fn define_primitive(&mut self, name: &str, function: Primitive) -> Result<(), Failure> {
        let primitive = self.new_object(Kind::HEADED, PRIMITIVE, 16)?;
        // SAFETY: the second word of the new object.
        unsafe { primitive.add(1).cast::<Primitive>().write(function) };
        self.stack.push(primitive as Value)?;
        let name = self.symbol(name.as_bytes())?;
        let primitive = self.stack.pop();
        let binding = self.cons(name, primitive)?;
        self.define(binding)
    }

    fn print(&self, value: Value, out: &mut dyn Write) -> Result<(), Failure> {
        if value & 1 == 1 {
            write!(out, "{}", number(value)?)?;
        } else if is(value, SYMBOL) {
            out.write_all(name_of(value))?;
        } else if is(value, PRIMITIVE) || is(value, CLOSURE) {
            write!(out, "<function>")?;
        } else if is(value, VECTOR) {
            // SAFETY: nothing changes the items meanwhile.
            write!(out, "<vector of {}>", unsafe { (*items(value)?).len() })?;
        } else {
            write!(out, "(")?;
            let mut at = value;
            while at != NIL {
                self.print(first(at)?, out)?;
                at = rest(at)?;
                write!(out, "{}", if at == NIL { "" } else { " " })?;
            }
            write!(out, ")")?;
        }
        Ok(())
    }
}

// guide: events
/// Called on the collector's thread, beside the program.
struct Log;

impl Listener for Log {
    fn cycle_ended(&self, record: &CycleRecord) {
        eprintln!("{record}");
    }
}
// end guide

fn less(_: &mut Machine, a: Value, b: Value) -> Result<Value, Failure> {
    Ok(if number(a)? < number(b)? { of_number(1) } else { NIL })
}

fn set_first(_: &mut Machine, a: Value, b: Value) -> Result<Value, Failure> {
    // SAFETY: a word of a pair.
    unsafe { *part(a, 1)? = b };
    Ok(b)
}

fn push_item(_: &mut Machine, vector: Value, item: Value) -> Result<Value, Failure> {
    // SAFETY: nobody has a reference to the items.
    unsafe { (*items(vector)?).push(item) };
    Ok(vector)
}

fn item_at(_: &mut Machine, vector: Value, at: Value) -> Result<Value, Failure> {
    // SAFETY: nobody changes the items meanwhile.
    let items = unsafe { &*items(vector)? };
    items.get(number(at)? as usize).copied().ok_or_else(|| "a vector has no such item".into())
}

const PRIMITIVES: [(&str, Primitive); 10] = [
    ("+", |_, a, b| Ok(of_number(number(a)? + number(b)?))),
    ("-", |_, a, b| Ok(of_number(number(a)? - number(b)?))),
    ("<", less),
    ("cons", |machine, a, b| machine.cons(a, b)),
    ("car", |_, a, _| first(a)),
    ("cdr", |_, a, _| rest(a)),
    ("set-car!", set_first),
    ("vector", |machine, _, _| machine.vector()),
    ("push!", push_item),
    ("at", item_at),
];

/// What the machine shows of itself.
pub(crate) const DEMO: &str = "
(define count (lambda (n) (if (< n 1) () (cons n (count (- n 1))))))
(define sum (lambda (l) (if l (+ (car l) (sum (cdr l))) 0)))
(define repeat (lambda (n) (if (< n 1) 0 (+ (sum (count 200)) (repeat (- n 1))))))
(define fill (lambda (v n) (if (< n 1) v (fill (push! v (count n)) (- n 1)))))
(define waste (lambda (n) (if (< n 1) 0 (+ (car (at (fill (vector) 20) 3)) (waste (- n 1))))))
(define kept (fill (vector) 100))
(waste 1000)
(sum (at kept 0))
(count 5)
(define cell (quote (1 2 3)))
(set-car! cell (count 3))
cell
(repeat 2000)
(sum (count 1000))
";

/// Runs a program, with these options of the collector.
pub(crate) fn run(
    program: &mut dyn Read,
    options: &str,
    log: bool,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let mut machine = Machine::new(options, log)?;
    for (name, function) in PRIMITIVES {
        machine.define_primitive(name, function)?;
    }
    let mut input = Input { from: program, bytes: [0; 4096], at: 0, len: 0 };
    while let Some(byte) = machine.token(&mut input)? {
        let code = machine.read(&mut input, byte)?;
        let value = machine.eval(code, NIL)?;
        machine.print(value, out)?;
        writeln!(out)?;
        machine.free_dead_vectors();
    }
    // A heap that goes away finalizes nothing of its own accord.
    machine.mutator.queue_all_finalizers();
    machine.free_dead_vectors();
    let stats = machine.mutator.heap().stats();
    eprintln!("{} cycles, longest pause {:.3} ms", stats.cycles, stats.pause_max_ms);
    Ok(())
}

#[allow(dead_code, reason = "the test calls `run`")]
fn main() -> Result<(), Failure> {
    let (mut options, mut log, mut demo) = (String::new(), false, false);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--gc" => options = arguments.next().ok_or("--gc wants options")?,
            "--gc-log" => log = true,
            "demo" => demo = true,
            _ => return Err("usage: list_machine [--gc OPTIONS] [--gc-log] [demo]".into()),
        }
    }
    let mut program: Box<dyn Read> =
        if demo { Box::new(DEMO.as_bytes()) } else { Box::new(std::io::stdin()) };
    run(&mut program, &options, log, &mut std::io::stdout())
}
