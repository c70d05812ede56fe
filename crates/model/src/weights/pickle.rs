//! The pickle of a PyTorch checkpoint, read by a machine that can name tensors and nothing else.
//!
//! A pickle is a program: it may ask for any function of any module to be called. This machine knows the opcodes that `torch.save` writes and the few functions that rebuild tensors, and makes a description of each; it stops at anything else.
//! It neither recurses nor allocates by a number that it reads: every value that it holds was paid for with an opcode.

use std::collections::BTreeMap;
use std::ops::Range;

/// Enough for 100 000 tensors.
pub(super) const MAX_OPCODES: usize = 1 << 22;
/// As PyTorch.
const MAX_DIMENSIONS: usize = 64;
/// What an error shows of a name that a file chose.
const MAX_NAME: usize = 100;

/// Why a pickle is not that of named tensors.
#[derive(Debug, thiserror::Error)]
pub(super) enum PickleError {
    #[error("the pickle ends after {at} bytes without its end mark: it is cut short")]
    CutShort { at: usize },
    #[error("the pickle has opcode {opcode:#04x} at byte {at}, expected one that torch.save writes")]
    Opcode { opcode: u8, at: usize },
    #[error("the pickle has something else before byte {at}, expected {expected}")]
    Unexpected { at: usize, expected: &'static str },
    #[error("the pickle has more than {MAX_OPCODES} steps, far more than any checkpoint needs")]
    TooLong,
    /// Reported as `ModelError::UnsafePickle`.
    #[error("the pickle asks to call `{global}`")]
    Call { global: String },
}

/// A tensor as the pickle describes it; no number in it has been held against anything yet.
#[derive(Debug, PartialEq)]
pub(super) struct PickledTensor<'a> {
    /// Type of the storage's elements.
    pub(super) element: Element,
    /// Name of the storage's entry in the archive.
    pub(super) storage: &'a str,
    /// Elements of the whole storage.
    pub(super) n_stored: i64,
    /// First element of the tensor in the storage.
    pub(super) offset: i64,
    pub(super) shape: Vec<i64>,
    pub(super) strides: Vec<i64>,
}

/// The type of a storage's elements: PyTorch's name for the class without `Storage`, and its size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Element {
    pub(super) name: &'static str,
    pub(super) n_bytes: u64,
}

const ELEMENTS: [Element; 12] = [
    Element { name: "Double", n_bytes: 8 },
    Element { name: "Float", n_bytes: 4 },
    Element { name: "Half", n_bytes: 2 },
    Element { name: "BFloat16", n_bytes: 2 },
    Element { name: "Long", n_bytes: 8 },
    Element { name: "Int", n_bytes: 4 },
    Element { name: "Short", n_bytes: 2 },
    Element { name: "Char", n_bytes: 1 },
    Element { name: "Byte", n_bytes: 1 },
    Element { name: "Bool", n_bytes: 1 },
    Element { name: "ComplexFloat", n_bytes: 8 },
    Element { name: "ComplexDouble", n_bytes: 16 },
];

/// What a pickle may name.
#[derive(Debug, Clone, Copy)]
enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Storage(Element),
}

/// A value on the stack. Whatever has parts lies in the machine's lists, so that copies are cheap and dropping cannot recurse.
#[derive(Debug, Clone, Copy)]
enum Value<'a> {
    /// Something that no tensor is made of.
    Other,
    Int(i64),
    Text(&'a str),
    Global(Global),
    /// A range of the machine's items.
    Tuple(u32, u32),
    /// A place in the machine's dicts.
    Dict(u32),
    Storage(u32),
    Tensor(u32),
}

#[derive(Debug, Clone, Copy)]
struct Storage<'a> {
    element: Element,
    name: &'a str,
    n_stored: i64,
}

#[derive(Debug, Clone, Copy)]
struct Tensor<'a> {
    storage: Storage<'a>,
    offset: i64,
    shape: (u32, u32),
    strides: (u32, u32),
}

/// The tensors of a pickle of a dict, by their keys; values that are no tensors are passed over.
pub(super) fn tensors(bytes: &[u8]) -> Result<BTreeMap<&str, PickledTensor<'_>>, PickleError> {
    let mut machine = Machine { bytes, ..Machine::default() };
    for _ in 0..MAX_OPCODES {
        let at = machine.at;
        let opcode = machine.take(1)?[0];
        if opcode == b'.' {
            return machine.finish();
        }
        if !(machine.scalar(opcode)?
            || machine.container(opcode)?
            || machine.memo(opcode)?
            || machine.object(opcode)?)
        {
            return Err(PickleError::Opcode { opcode, at });
        }
    }
    Err(PickleError::TooLong)
}

#[derive(Default)]
struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Value<'a>>,
    /// Heights of the stack where a mark was set.
    marks: Vec<usize>,
    memo: BTreeMap<u64, Value<'a>>,
    items: Vec<Value<'a>>,
    dicts: Vec<Vec<(Value<'a>, Value<'a>)>>,
    storages: Vec<Storage<'a>>,
    tensors: Vec<Tensor<'a>>,
}

impl<'a> Machine<'a> {
    /// Numbers, texts and constants; whether the opcode was one of them.
    fn scalar(&mut self, opcode: u8) -> Result<bool, PickleError> {
        let value = match opcode {
            b'N' | 0x88 | 0x89 => Value::Other,
            b'J' => Value::Int(signed(self.take(4)?)),
            b'K' => Value::Int(self.number(1)?.cast_signed()),
            b'M' => Value::Int(self.number(2)?.cast_signed()),
            0x8a => self.long(1)?,
            0x8b => self.long(4)?,
            b'G' => self.skip(8)?,
            b'C' => self.skip_counted(1)?,
            b'B' => self.skip_counted(4)?,
            0x8e => self.skip_counted(8)?,
            0x8c => self.text(1)?,
            b'X' => self.text(4)?,
            0x8d => self.text(8)?,
            _ => return Ok(false),
        };
        self.stack.push(value);
        Ok(true)
    }

    /// Tuples, lists and dicts.
    fn container(&mut self, opcode: u8) -> Result<bool, PickleError> {
        match opcode {
            b'(' => self.marks.push(self.stack.len()),
            b')' => self.tuple(0)?,
            0x85..=0x87 => self.tuple(usize::from(opcode - 0x84))?,
            b't' => {
                let n = self.unmark()?.len();
                self.tuple(n)?;
            }
            b'}' => self.new_dict(),
            b's' => self.set_items(self.stack.len().saturating_sub(2))?,
            b'u' => {
                let items = self.unmark()?;
                self.set_items(items.start)?;
            }
            b']' | 0x8f => self.stack.push(Value::Other),
            b'a' => self.pass_over(1)?,
            b'e' | 0x90 => {
                let n = self.unmark()?.len();
                self.pass_over(n)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The memo, and what frames the pickle.
    fn memo(&mut self, opcode: u8) -> Result<bool, PickleError> {
        match opcode {
            0x80 => drop(self.take(1)?),
            0x95 => drop(self.take(8)?),
            b'q' => self.memoize_as(1)?,
            b'r' => self.memoize_as(4)?,
            0x94 => {
                let (place, top) = (self.memo.len() as u64, self.top()?);
                self.memo.insert(place, top);
            }
            b'h' => self.recall(1)?,
            b'j' => self.recall(4)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// What is called, and what is set on the results.
    fn object(&mut self, opcode: u8) -> Result<bool, PickleError> {
        match opcode {
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.stack.push(Value::Global(global(module, name)?));
            }
            0x93 => match (self.pop()?, self.pop()?) {
                (Value::Text(name), Value::Text(module)) => {
                    self.stack.push(Value::Global(global(module, name)?));
                }
                _ => return Err(self.expected("the module and the name of a function")),
            },
            b'Q' => self.storage()?,
            b'R' => self.call()?,
            // The state of a dict or a parameter: versions of modules, hooks. No value of a tensor is in it.
            b'b' => drop(self.pop()?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Describes what a function would return.
    fn call(&mut self) -> Result<(), PickleError> {
        let arguments = self.pop()?;
        let arguments = self.tuple_items(arguments, "the arguments of a function")?;
        match self.pop()? {
            Value::Global(Global::OrderedDict) if arguments.0 == arguments.1 => self.new_dict(),
            Value::Global(Global::RebuildTensor) => self.rebuild(arguments)?,
            Value::Global(Global::RebuildParameter) => match self.slice(arguments).first() {
                Some(tensor @ Value::Tensor(_)) => self.stack.push(*tensor),
                _ => return Err(self.expected("the tensor of a parameter")),
            },
            _ => return Err(self.expected("a function that rebuilds a tensor, with its arguments")),
        }
        Ok(())
    }

    /// `_rebuild_tensor_v2(storage, storage_offset, size, stride, requires_grad, backward_hooks)`.
    fn rebuild(&mut self, arguments: (u32, u32)) -> Result<(), PickleError> {
        let [Value::Storage(storage), Value::Int(offset), shape, strides, ..] = *self.slice(arguments) else {
            return Err(self.expected("a storage, an offset, a size and strides"));
        };
        let shape = self.tuple_items(shape, "the size of a tensor")?;
        let strides = self.tuple_items(strides, "the strides of a tensor")?;
        let n_dimensions = self.slice(shape).len();
        if n_dimensions != self.slice(strides).len() || n_dimensions > MAX_DIMENSIONS {
            return Err(self.expected("as many sizes as strides, and at most 64"));
        }
        let storage = self.storages[storage as usize];
        self.stack.push(Value::Tensor(place(self.tensors.len())));
        self.tensors.push(Tensor { storage, offset, shape, strides });
        Ok(())
    }

    /// `('storage', class, name, device, n_elements)`.
    fn storage(&mut self) -> Result<(), PickleError> {
        let id = self.pop()?;
        let id = self.tuple_items(id, "the description of a storage")?;
        let [
            Value::Text("storage"),
            Value::Global(Global::Storage(element)),
            Value::Text(name),
            _,
            Value::Int(n_stored),
        ] = *self.slice(id)
        else {
            return Err(self.expected("the class, name, device and size of a storage"));
        };
        self.stack.push(Value::Storage(place(self.storages.len())));
        self.storages.push(Storage { element, name, n_stored });
        Ok(())
    }

    fn finish(mut self) -> Result<BTreeMap<&'a str, PickledTensor<'a>>, PickleError> {
        let Value::Dict(dict) = self.pop()? else {
            return Err(self.expected("a dict of tensors"));
        };
        let mut named = BTreeMap::new();
        for (key, value) in &self.dicts[dict as usize] {
            if let (Value::Text(key), Value::Tensor(tensor)) = (key, value) {
                named.insert(*key, self.pickled(self.tensors[*tensor as usize])?);
            }
        }
        Ok(named)
    }

    fn pickled(&self, tensor: Tensor<'a>) -> Result<PickledTensor<'a>, PickleError> {
        let Storage { element, name: storage, n_stored } = tensor.storage;
        let (shape, strides) = (self.ints(tensor.shape)?, self.ints(tensor.strides)?);
        Ok(PickledTensor { element, storage, n_stored, offset: tensor.offset, shape, strides })
    }

    fn ints(&self, range: (u32, u32)) -> Result<Vec<i64>, PickleError> {
        let int = |value: &Value<'_>| match value {
            Value::Int(int) => Ok(*int),
            _ => Err(self.expected("sizes and strides that are whole numbers")),
        };
        self.slice(range).iter().map(int).collect()
    }

    /// Makes a tuple of the topmost values.
    fn tuple(&mut self, n: usize) -> Result<(), PickleError> {
        let begin = self.floor(n)?;
        let first = place(self.items.len());
        self.items.extend(self.stack.drain(begin..));
        self.stack.push(Value::Tuple(first, place(self.items.len())));
        Ok(())
    }

    fn new_dict(&mut self) {
        self.stack.push(Value::Dict(place(self.dicts.len())));
        self.dicts.push(Vec::new());
    }

    /// Puts the keys and values that lie on the stack from a height on into the dict beneath them.
    fn set_items(&mut self, begin: usize) -> Result<(), PickleError> {
        let n = self.stack.len() - begin;
        self.floor(n)?;
        let Some(Value::Dict(dict)) = begin.checked_sub(1).map(|dict| self.stack[dict]) else {
            return Err(self.expected("a dict and what goes into it"));
        };
        let (pairs, rest) = self.stack[begin..].as_chunks::<2>();
        if !rest.is_empty() {
            return Err(self.expected("a value for each key"));
        }
        self.dicts[dict as usize].extend(pairs.iter().map(|[key, value]| (*key, *value)));
        self.stack.truncate(begin);
        Ok(())
    }

    /// Drops what goes into a list or a set; no tensor is made of one.
    fn pass_over(&mut self, n: usize) -> Result<(), PickleError> {
        let begin = self.floor(n)?;
        self.stack.truncate(begin);
        self.top().map(drop)
    }

    fn memoize_as(&mut self, n_bytes: usize) -> Result<(), PickleError> {
        let (place, top) = (self.number(n_bytes)?, self.top()?);
        self.memo.insert(place, top);
        Ok(())
    }

    fn recall(&mut self, n_bytes: usize) -> Result<(), PickleError> {
        let place = self.number(n_bytes)?;
        let value = *self.memo.get(&place).ok_or_else(|| self.expected("a value that was kept"))?;
        self.stack.push(value);
        Ok(())
    }

    fn tuple_items(&self, value: Value<'a>, expected: &'static str) -> Result<(u32, u32), PickleError> {
        match value {
            Value::Tuple(begin, end) => Ok((begin, end)),
            _ => Err(self.expected(expected)),
        }
    }

    fn slice(&self, (begin, end): (u32, u32)) -> &[Value<'a>] {
        &self.items[begin as usize..end as usize]
    }

    fn top(&self) -> Result<Value<'a>, PickleError> {
        let top = self.floor(1)?;
        Ok(self.stack[top])
    }

    fn pop(&mut self) -> Result<Value<'a>, PickleError> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    /// The height of the stack beneath the topmost values, which may not reach below a mark.
    fn floor(&self, n: usize) -> Result<usize, PickleError> {
        let height = self.stack.len().checked_sub(n);
        let mark = self.marks.last().copied().unwrap_or(0);
        height.filter(|height| *height >= mark).ok_or_else(|| self.expected("more values on the stack"))
    }

    /// Takes the last mark away; what lies above it.
    fn unmark(&mut self) -> Result<Range<usize>, PickleError> {
        let mark = self.marks.pop().ok_or_else(|| self.expected("a mark"))?;
        Ok(mark..self.stack.len())
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8], PickleError> {
        let rest = &self.bytes[self.at..];
        let taken = rest.get(..n).ok_or(PickleError::CutShort { at: self.bytes.len() })?;
        self.at += n;
        Ok(taken)
    }

    fn number(&mut self, n_bytes: usize) -> Result<u64, PickleError> {
        Ok(self.take(n_bytes)?.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// As many bytes as the number before them says.
    fn counted(&mut self, n_bytes: usize) -> Result<&'a [u8], PickleError> {
        let n = self.number(n_bytes)?;
        // A count beyond the address space is beyond the pickle as well.
        self.take(usize::try_from(n).unwrap_or(usize::MAX))
    }

    fn text(&mut self, n_bytes: usize) -> Result<Value<'a>, PickleError> {
        let text = str::from_utf8(self.counted(n_bytes)?).map_err(|_| self.expected("text in UTF-8"))?;
        Ok(Value::Text(text))
    }

    /// A whole number of any length; one that no size can be is passed over.
    fn long(&mut self, n_bytes: usize) -> Result<Value<'a>, PickleError> {
        let bytes = self.counted(n_bytes)?;
        Ok(if bytes.len() <= size_of::<i64>() { Value::Int(signed(bytes)) } else { Value::Other })
    }

    fn skip(&mut self, n: usize) -> Result<Value<'a>, PickleError> {
        self.take(n).map(|_| Value::Other)
    }

    fn skip_counted(&mut self, n_bytes: usize) -> Result<Value<'a>, PickleError> {
        self.counted(n_bytes).map(|_| Value::Other)
    }

    fn line(&mut self) -> Result<&'a str, PickleError> {
        let rest = &self.bytes[self.at..];
        let n = rest.iter().position(|byte| *byte == b'\n');
        let line = self.take(n.ok_or(PickleError::CutShort { at: self.bytes.len() })?)?;
        self.take(1)?;
        str::from_utf8(line).map_err(|_| self.expected("a name in UTF-8"))
    }

    fn expected(&self, expected: &'static str) -> PickleError {
        PickleError::Unexpected { at: self.at, expected }
    }
}

/// The few things that a pickle may name.
fn global(module: &str, name: &str) -> Result<Global, PickleError> {
    let storage = || {
        let class = name.strip_suffix("Storage")?;
        ELEMENTS.into_iter().find(|element| element.name == class)
    };
    let known = match (module, name) {
        ("collections", "OrderedDict") => Some(Global::OrderedDict),
        ("torch._utils", "_rebuild_tensor_v2") => Some(Global::RebuildTensor),
        ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => {
            Some(Global::RebuildParameter)
        }
        ("torch", _) => storage().map(Global::Storage),
        _ => None,
    };
    known.ok_or_else(|| {
        let global = format!("{module}.{name}");
        PickleError::Call { global: global.chars().take(MAX_NAME).flat_map(char::escape_debug).collect() }
    })
}

/// Little-endian two's complement of at most 8 bytes.
fn signed(bytes: &[u8]) -> i64 {
    let is_negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
    let mut whole = [if is_negative { 0xff } else { 0 }; size_of::<i64>()];
    whole[..bytes.len()].copy_from_slice(bytes);
    i64::from_le_bytes(whole)
}

/// A place in one of the machine's lists: each entry was paid for with an opcode, of which there are fewer than `u32::MAX`.
fn place(place: usize) -> u32 {
    place as u32
}
