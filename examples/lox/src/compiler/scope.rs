//! One function under construction, and how names are resolved in it.
//!
//! A local variable *is* its stack slot: its index counts from the slot of the function itself. A map from names to the
//! innermost local of that name makes resolving independent of how many there are; a local remembers the one it
//! shadows, which comes back when its scope ends.

use std::collections::HashMap;

use crate::bytecode::{Capture, LineTable, Op};
use crate::compiler::Compiler;
use crate::object::FunctionRef;

/// Locals and captured variables are counted in 16 bits.
const MAX_VARIABLES: usize = u16::MAX as usize;

/// What kind of function is being compiled.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum FunctionKind {
    Script,
    Function,
    Method,
    Initializer,
}

/// A local variable in scope.
pub struct Local<'s> {
    name: &'s str,
    scope: u32,
    /// False while the variable's own initialiser is being compiled.
    is_ready: bool,
    is_captured: bool,
    shadowed: Option<u16>,
}

/// A function under construction.
pub struct FunctionState<'s> {
    pub kind: FunctionKind,
    pub function: FunctionRef,
    pub arity: usize,
    pub code: Vec<u32>,
    pub lines: LineTable,
    /// The index of each constant, by its bits.
    pub constants: HashMap<u64, u32>,
    /// The last operation emitted, unless it is the target of a jump that leads past it.
    pub last_op: Option<Op>,
    /// How many values are on the stack at this point of the code, and the most there have been.
    pub stack_depth: isize,
    pub stack_need: isize,
    /// 0: outermost. Only in a script are variables of the outermost scope global.
    pub scope: u32,
    pub captures: Vec<Capture>,
    capture_indices: HashMap<Capture, u16>,
    locals: Vec<Local<'s>>,
    by_name: HashMap<&'s str, u16>,
}

/// What a name stands for.
pub enum Variable {
    Local(usize),
    Captured(usize),
    Global(usize),
}

impl<'s> FunctionState<'s> {
    pub fn new(kind: FunctionKind, function: FunctionRef) -> FunctionState<'s> {
        let mut state = FunctionState {
            kind,
            function,
            arity: 0,
            code: Vec::new(),
            lines: LineTable::default(),
            constants: HashMap::new(),
            last_op: None,
            stack_depth: 1,
            stack_need: 1,
            scope: 0,
            captures: Vec::new(),
            capture_indices: HashMap::new(),
            locals: Vec::new(),
            by_name: HashMap::new(),
        };
        // Slot 0 is the callee or, in a method, the receiver. No other name can be empty.
        let name = if matches!(kind, FunctionKind::Method | FunctionKind::Initializer) { "this" } else { "" };
        state.add_local(name);
        state.mark_ready();
        state
    }

    fn add_local(&mut self, name: &'s str) -> bool {
        if self.locals.len() == MAX_VARIABLES {
            return false;
        }
        let shadowed = self.by_name.insert(name, self.locals.len() as u16);
        self.locals.push(Local { name, scope: self.scope, is_ready: false, is_captured: false, shadowed });
        true
    }

    /// The variable declared last can be used from here on.
    pub fn mark_ready(&mut self) {
        if let Some(local) = self.locals.last_mut() {
            local.is_ready = true;
        }
    }

    fn declared_here(&self, name: &str) -> bool {
        self.by_name.get(name).is_some_and(|index| self.locals[usize::from(*index)].scope == self.scope)
    }

    /// Takes the innermost local of the scope that has just ended out of sight. Returns whether it was captured.
    fn remove_local(&mut self) -> Option<bool> {
        let local = self.locals.pop_if(|local| local.scope > self.scope)?;
        match local.shadowed {
            Some(index) => self.by_name.insert(local.name, index),
            None => self.by_name.remove(local.name),
        };
        Some(local.is_captured)
    }

    fn capture(&mut self, capture: Capture) -> Option<usize> {
        if let Some(index) = self.capture_indices.get(&capture) {
            return Some(usize::from(*index));
        }
        let index = self.captures.len();
        if index == MAX_VARIABLES {
            return None;
        }
        self.captures.push(capture);
        self.capture_indices.insert(capture, index as u16);
        Some(index)
    }
}

impl<'s> Compiler<'s, '_> {
    /// The innermost function under construction.
    pub fn state(&mut self) -> &mut FunctionState<'s> {
        self.functions.last_mut().expect("a function is being compiled")
    }

    /// Whether a variable declared here is global.
    pub fn at_top_level(&mut self) -> bool {
        self.functions.len() == 1 && self.state().scope == 0
    }

    pub fn begin_scope(&mut self) {
        self.state().scope += 1;
    }

    /// Ends a scope: its variables leave the stack, those that were captured into their upvalues.
    pub fn end_scope(&mut self) {
        self.state().scope -= 1;
        let mut plain = 0;
        while let Some(is_captured) = self.state().remove_local() {
            if is_captured {
                self.emit_pops(plain);
                self.emit(Op::CloseUpvalue);
                plain = 0;
            } else {
                plain += 1;
            }
        }
        self.emit_pops(plain);
    }

    /// Declares a variable; in an inner scope, the value that is pushed next will be its value.
    pub fn declare_variable(&mut self, name: &'s str) {
        if self.at_top_level() {
            return;
        }
        if self.state().declared_here(name) {
            self.error("Already a variable with this name in this scope.");
        }
        self.add_local(name);
    }

    pub fn add_local(&mut self, name: &'s str) {
        if !self.state().add_local(name) {
            self.error("Too many local variables in function.");
        }
    }

    /// What `name` stands for here.
    pub fn resolve(&mut self, name: &'s str) -> Variable {
        let innermost = self.functions.len() - 1;
        if let Some(index) = self.functions[innermost].by_name.get(name).copied() {
            if !self.functions[innermost].locals[usize::from(index)].is_ready {
                self.error("Can't read local variable in its own initializer.");
            }
            return Variable::Local(index.into());
        }
        match self.resolve_captured(name) {
            Some(index) => Variable::Captured(index),
            None => Variable::Global(self.global_slot(name)),
        }
    }

    /// Looks for `name` in the enclosing functions, from the inside out, and then has every function on the way back
    /// capture it.
    fn resolve_captured(&mut self, name: &'s str) -> Option<usize> {
        let innermost = self.functions.len() - 1;
        let owner =
            (0..innermost).rev().find(|function| self.functions[*function].by_name.contains_key(name))?;
        let mut index = self.functions[owner].by_name[name];
        let local = &mut self.functions[owner].locals[usize::from(index)];
        local.is_captured = true;
        if !local.is_ready {
            self.error("Can't read local variable in its own initializer.");
        }
        for function in owner + 1..=innermost {
            let capture = Capture { is_local: function == owner + 1, index };
            match self.functions[function].capture(capture) {
                Some(captured) => index = captured as u16,
                None => self.error("Too many closure variables in function."),
            }
        }
        Some(index.into())
    }
}
