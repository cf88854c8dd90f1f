//! How values look when they are printed.

use crate::number::write_number;
use crate::object::{
    BoundMethodRef, ClassRef, ClosureRef, FunctionRef, InstanceRef, ObjectKind, ObjectRef, StringRef,
};
use crate::value::Value;

/// Appends `value` to `out` as `print` shows it.
pub fn write_value(out: &mut Vec<u8>, value: Value) {
    if let Some(number) = value.as_number() {
        write_number(out, number);
    } else if let Some(object) = ObjectRef::from_value(value) {
        write_object(out, object);
    } else {
        out.extend_from_slice(match value {
            Value::TRUE => b"true",
            Value::FALSE => b"false",
            _ => b"nil",
        });
    }
}

fn write_object(out: &mut Vec<u8>, object: ObjectRef) {
    let value = object.value();
    match object.kind() {
        ObjectKind::String => {
            if let Some(string) = StringRef::from_value(value) {
                out.extend_from_slice(string.bytes());
            }
        }
        ObjectKind::Function => write_function(out, FunctionRef::from_value(value)),
        ObjectKind::Closure => write_function(out, ClosureRef::from_value(value).map(ClosureRef::function)),
        ObjectKind::BoundMethod => {
            write_function(out, BoundMethodRef::from_value(value).map(|bound| bound.method().function()));
        }
        ObjectKind::Native => out.extend_from_slice(b"<native fn>"),
        ObjectKind::Class => write_class_name(out, ClassRef::from_value(value)),
        ObjectKind::Instance => {
            write_class_name(out, InstanceRef::from_value(value).map(InstanceRef::class));
            out.extend_from_slice(b" instance");
        }
        ObjectKind::Bytes
        | ObjectKind::Array
        | ObjectKind::Table
        | ObjectKind::Upvalue
        | ObjectKind::Globals => {
            unreachable!("a program never gets hold of the interpreter's own objects")
        }
    }
}

fn write_function(out: &mut Vec<u8>, function: Option<FunctionRef>) {
    match function.and_then(FunctionRef::name) {
        Some(name) => {
            out.extend_from_slice(b"<fn ");
            out.extend_from_slice(name.bytes());
            out.push(b'>');
        }
        None => out.extend_from_slice(b"<script>"),
    }
}

fn write_class_name(out: &mut Vec<u8>, class: Option<ClassRef>) {
    if let Some(class) = class {
        out.extend_from_slice(class.name().bytes());
    }
}
