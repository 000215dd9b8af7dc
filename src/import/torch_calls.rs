//! What the names in a PyTorch pickle mean to us, and the few calls we answer ourselves.

use super::error::{Error, Result, corrupt};
use super::globals::{Verdict, judge};
use super::pickle::{Global, Id, Object, Storage, TensorRef, Value};

/// More axes than this no layer has.
const MAX_AXES: usize = 16;
/// Keys are small numbers or addresses in decimal.
const MAX_KEY_BYTES: usize = 128;

/// A name as a value. What could do harm is refused with its name and the reason.
pub(super) fn named(module: &str, name: &str) -> Result<Value> {
    let shown = || format!("{module}.{name}").chars().take(120).flat_map(char::escape_debug).collect::<String>();
    match judge(module, name) {
        Verdict::Known(global) => Ok(Value::Global(global)),
        Verdict::Plain | Verdict::Unknown => Ok(Value::Other(shown())),
        Verdict::Unread(why) | Verdict::Refused(why) => Err(Error::RefusedGlobal { global: shown(), why: why.into() }),
    }
}

/// REDUCE: answers the calls on the allow-list.
pub(super) fn apply(values: &[Value], callable: Id, tuple: Id) -> Result<Value> {
    let Value::Tuple(arguments) = &values[tuple] else {
        return Err(corrupt("a call has arguments that are not a tuple"));
    };
    match &values[callable] {
        Value::Other(_) | Value::Object(_) => Ok(object(values, callable, tuple, arguments)),
        Value::Global(Global::OrderedDict) => ordered_dict(values, arguments),
        Value::Global(Global::RebuildTensor) => rebuild_tensor(values, arguments),
        Value::Global(Global::RebuildPlain) => match arguments.as_slice() {
            &[storage, offset, size, stride, ..] => tensor(values, [storage, offset, size, stride]),
            _ => Err(corrupt("a tensor has too few arguments")),
        },
        Value::Global(Global::RebuildOfType) => match arguments.as_slice() {
            &[function, _class, arguments, ..]
                if matches!(values[function], Value::Global(Global::RebuildTensor | Global::RebuildParameter)) =>
            {
                apply(values, function, arguments)
            }
            _ => Err(corrupt("a tensor of another class is not made of a tensor")),
        },
        Value::Global(Global::RebuildParameter) => match arguments.first().map(|&id| &values[id]) {
            Some(tensor @ Value::Tensor(_)) => Ok(tensor.clone()),
            _ => Err(corrupt("a parameter is not made of a tensor")),
        },
        Value::Global(Global::Size) => match arguments.as_slice() {
            [only] if matches!(&values[*only], Value::Tuple(sides) if sides.len() <= MAX_AXES) => Ok(values[*only].clone()),
            _ => Err(corrupt("a torch.Size is not made of a short tuple")),
        },
        Value::Global(other) => {
            Err(Error::RefusedGlobal { global: format!("{other:?}"), why: "this name is known but never called in a state dict".into() })
        }
        _ => Err(Error::RefusedGlobal { global: "a value that is no function".into(), why: "only functions of PyTorch are called".into() }),
    }
}

/// What a name that is never called would have made; `copyreg` says of which class.
fn object(values: &[Value], callable: Id, tuple: Id, arguments: &[Id]) -> Value {
    let of_class = matches!(&values[callable], Value::Other(name) if name.ends_with("._reconstructor") || name.ends_with(".__newobj__"));
    let named = arguments.first().copied().filter(|&first| of_class && matches!(values[first], Value::Other(_)));
    Value::Object(Box::new(Object { class: named.unwrap_or(callable), arguments: Some(tuple), state: None, items: Vec::new() }))
}

/// NEWOBJ and its kin: an object of a class.
pub(super) fn instance(values: &[Value], class: Id, arguments: Option<Id>, opcode: &str) -> Result<Value> {
    match &values[class] {
        Value::Global(Global::OrderedDict) => Ok(Value::Dict(Vec::new())),
        Value::Other(_) => Ok(Value::Object(Box::new(Object { class, arguments, state: None, items: Vec::new() }))),
        _ => Err(Error::RefusedGlobal {
            global: opcode.into(),
            why: "it makes an object of something that is no class of plain values".into(),
        }),
    }
}

fn ordered_dict(values: &[Value], arguments: &[Id]) -> Result<Value> {
    // Python 3 writes an empty dict and fills it; Python 2 hands over a list of [key, value].
    let items = match arguments {
        [] => return Ok(Value::Dict(Vec::new())),
        [only] => match &values[*only] {
            Value::List(items) => items,
            _ => return Err(corrupt("an OrderedDict is not made of a list")),
        },
        _ => return Err(corrupt("an OrderedDict has too many arguments")),
    };
    let pair = |&id: &Id| match &values[id] {
        Value::List(pair) | Value::Tuple(pair) if pair.len() == 2 => Ok((pair[0], pair[1])),
        _ => Err(corrupt("an OrderedDict has an item that is no pair")),
    };
    Ok(Value::Dict(items.iter().map(pair).collect::<Result<_>>()?))
}

/// `_rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks[, metadata])`.
fn rebuild_tensor(values: &[Value], arguments: &[Id]) -> Result<Value> {
    let &[storage, offset, size, stride, _requires_grad, hooks, ..] = arguments else {
        return Err(corrupt("a tensor has too few arguments"));
    };
    if !matches!(&values[hooks], Value::Dict(hooks) if hooks.is_empty()) && values[hooks] != Value::None {
        return Err(Error::RefusedGlobal { global: "backward hooks".into(), why: "a tensor carries functions".into() });
    }
    tensor(values, [storage, offset, size, stride])
}

fn tensor(values: &[Value], [storage, offset, size, stride]: [Id; 4]) -> Result<Value> {
    let Value::Storage(storage) = &values[storage] else {
        return Err(corrupt("a tensor is not made of a storage"));
    };
    let shape = numbers(values, size)?.into_iter().map(|side| usize::try_from(side).map_err(|_| corrupt("a shape overflows")));
    let shape: Vec<usize> = shape.collect::<Result<_>>()?;
    let stride = numbers(values, stride)?;
    if shape.len() != stride.len() || shape.len() > MAX_AXES {
        return Err(corrupt("a tensor's shape and strides disagree"));
    }
    let storage = storage.as_ref().clone();
    Ok(Value::Tensor(Box::new(TensorRef { storage, offset: number(values, offset)?, shape, stride })))
}

/// BINPERSID: `("storage", torch.FloatStorage, key, location, length[, (view key, offset, length)])`.
pub(super) fn storage(values: &[Value], id: Id) -> Result<Value> {
    let Value::Tuple(parts) = &values[id] else {
        return Err(corrupt("a storage is not named by a tuple"));
    };
    let (&[tag, class, key, _location, length], rest) =
        parts.split_first_chunk::<5>().ok_or_else(|| corrupt("a storage's name is too short"))?;
    if values[tag] != Value::Text("storage".into()) {
        return Err(Error::RefusedGlobal { global: "persistent id".into(), why: "it names a module's source, not a storage".into() });
    }
    let Value::Global(Global::Storage(dtype)) = values[class] else {
        return Err(corrupt("a storage has no dtype"));
    };
    let key = match &values[key] {
        Value::Text(key) if key.len() <= MAX_KEY_BYTES => key,
        _ => return Err(corrupt("a storage's key is not a short text")),
    };
    let len = number(values, length)?;
    let view = match rest.first().map(|&view| &values[view]) {
        None | Some(Value::None) => (0, len),
        Some(Value::Tuple(view)) => match view.as_slice() {
            &[_, start, length] => (number(values, start)?, number(values, length)?),
            _ => return Err(corrupt("a storage's view is not a triple")),
        },
        Some(_) => return Err(corrupt("a storage's view is not a tuple")),
    };
    if view.0.checked_add(view.1).is_none_or(|end| end > len) {
        return Err(corrupt(format!("a view reaches past the end of storage `{}`", key.escape_debug())));
    }
    Ok(Value::Storage(Box::new(Storage { dtype, key: key.clone(), len, view })))
}

fn numbers(values: &[Value], id: Id) -> Result<Vec<u64>> {
    let (Value::Tuple(items) | Value::List(items)) = &values[id] else {
        return Err(corrupt("a shape is not a tuple"));
    };
    if items.len() > MAX_AXES {
        return Err(corrupt("a tensor has too many axes"));
    }
    items.iter().map(|&item| number(values, item)).collect()
}

fn number(values: &[Value], id: Id) -> Result<u64> {
    match values[id] {
        Value::Int(number) => u64::try_from(number).map_err(|_| corrupt(format!("{number} stands where a size belongs"))),
        _ => Err(corrupt("something stands where a size belongs")),
    }
}
