//! What the names that a pickle imports are, in one table: those that build tensors, plain values that runs leave beside
//! weights, and those that could run code in whatever Python loads the file. Nothing here is ever called.

use super::pickle::Global;
use super::tensor::Dtype;

/// What a name is to a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// One whose calls we answer ourselves.
    Known(Global),
    /// A class of plain values: harmless also where Python makes them.
    Plain,
    /// Some class or function of somebody's: never called here, and carried as an opaque value.
    Unknown,
    /// No weights need it; the reason.
    Refused(&'static str),
}

const HOSTILE: &str = "it is able to run anything on the machine that loads the file, and no weights need it: treat the file as hostile";
const LOADER: &str = "it loads a program or another pickle from inside this one";
const REACH: &str = "it can reach any function by its name, and no weights need it";
const CODE: &str = "the code of a function was saved in the file, and no weights need it";
const QUANTISED: &str = "quantised and sparse tensors are not read; save the weights as ordinary floats";
const STORAGE: &str = "numbers of this kind are not read";
const TORCH: &str = "a whole PyTorch module or a helper was saved, not a state dict";
const SCRIPT: &str = "this is TorchScript, a program; only its state dict could be read";

/// Modules whose every name could run something.
#[rustfmt::skip]
const HOSTILE_MODULES: &[&str] = &[
    "os", "posix", "nt", "subprocess", "sys", "runpy", "pty", "socket", "shutil", "importlib", "ctypes", "_ctypes", "commands", "code", "codeop",
    "pdb", "bdb", "timeit", "cProfile", "profile", "trace", "webbrowser", "multiprocessing", "threading", "_thread", "asyncio", "ssl", "ftplib",
    "http", "httpx", "urllib", "urllib2", "requests", "aiohttp", "smtplib", "telnetlib", "xmlrpc", "pip", "setuptools", "distutils",
    "venv", "pydoc", "signal", "resource", "gc", "site", "tempfile", "winreg", "_winreg", "posixpath", "ntpath", "io", "_io", "fileinput",
];
/// Builtins that make plain values.
#[rustfmt::skip]
const PLAIN_BUILTINS: &[&str] = &[
    "set", "frozenset", "list", "dict", "tuple", "int", "float", "bool", "str", "bytes", "bytearray", "complex", "slice", "range", "object",
    "unicode", "long", "xrange", "NoneType", "Ellipsis", "NotImplemented",
];
/// Module and name of classes, and of functions that only build values.
#[rustfmt::skip]
const PLAIN: &[(&str, &str)] = &[
    ("collections", "defaultdict"), ("collections", "deque"), ("collections", "Counter"), ("argparse", "Namespace"),
    ("types", "SimpleNamespace"), ("datetime", "datetime"), ("datetime", "date"), ("datetime", "time"), ("datetime", "timedelta"),
    ("datetime", "timezone"), ("decimal", "Decimal"), ("fractions", "Fraction"), ("uuid", "UUID"), ("typing", "Any"),
    ("pathlib", "Path"), ("pathlib", "PosixPath"), ("pathlib", "WindowsPath"), ("pathlib", "PurePath"), ("pathlib", "PurePosixPath"),
    ("pathlib", "PureWindowsPath"), ("_codecs", "encode"), ("copyreg", "_reconstructor"), ("copy_reg", "_reconstructor"),
    ("copyreg", "__newobj__"), ("torch", "device"), ("torch", "layout"), ("torch", "memory_format"), ("torch.serialization", "_get_layout"),
    ("torch.torch_version", "TorchVersion"), ("torch.distributed", "ReduceOp"), ("yacs.config", "CfgNode"), ("easydict", "EasyDict"),
    ("munch", "Munch"), ("addict.addict", "Dict"), ("box.box", "Box"), ("mmcv.utils.config", "Config"), ("mmcv.utils.config", "ConfigDict"),
    ("mmengine.config.config", "Config"), ("mmengine.config.config", "ConfigDict"), ("transformers.training_args", "TrainingArguments"),
    ("transformers.training_args", "OptimizerNames"), ("transformers.training_args", "ParallelMode"),
    ("transformers.training_args_seq2seq", "Seq2SeqTrainingArguments"), ("accelerate.state", "PartialState"),
    ("accelerate.utils.dataclasses", "DistributedType"), ("pytorch_lightning.utilities.parsing", "AttributeDict"),
    ("lightning.pytorch.utilities.parsing", "AttributeDict"), ("lightning_fabric.utilities.data", "AttributeDict"),
    ("lightning.fabric.utilities.data", "AttributeDict"),
];
/// Packages whose classes hold settings and nothing else.
const PLAIN_PACKAGES: &[&str] =
    &["omegaconf", "transformers.trainer_utils", "transformers.trainer_pt_utils", "transformers.integrations.deepspeed"];
/// Of NumPy, wherever its modules are called so.
const NUMPY: &[(&str, &[&str])] = &[
    ("numpy", &["dtype", "ndarray", "float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "bool_", "str_"]),
    ("numpy.core.multiarray", &["scalar", "_reconstruct"]),
    ("numpy._core.multiarray", &["scalar", "_reconstruct"]),
    ("numpy.core.numeric", &["_frombuffer"]),
    ("numpy._core.numeric", &["_frombuffer"]),
    ("numpy.random._pickle", &["__randomstate_ctor", "__generator_ctor", "__bit_generator_ctor"]),
    ("numpy.random._mt19937", &["MT19937"]),
    ("numpy.random._pcg64", &["PCG64"]),
];

/// What the name `module.name` is.
pub fn judge(module: &str, name: &str) -> Verdict {
    if name.contains("__") && name.contains('.') {
        return Verdict::Refused(REACH);
    }
    if let Some(known) = known(module, name) {
        return Verdict::Known(known);
    }
    let package = |list: &[&str]| {
        list.iter().any(|package| module == *package || module.strip_prefix(package).is_some_and(|rest| rest.starts_with('.')))
    };
    let listed = |(of, names): &(&str, &[&str])| *of == module && names.contains(&name);
    if PLAIN.contains(&(module, name)) || package(PLAIN_PACKAGES) || NUMPY.iter().any(listed) || module == "numpy.dtypes" {
        return Verdict::Plain;
    }
    match module.split('.').next().unwrap_or(module) {
        "builtins" | "__builtin__" | "__builtins__" => match name {
            _ if PLAIN_BUILTINS.contains(&name) => Verdict::Plain,
            "getattr" | "setattr" | "delattr" | "hasattr" | "vars" | "globals" | "locals" | "dir" | "type" | "super" => {
                Verdict::Refused(REACH)
            }
            _ => Verdict::Refused(HOSTILE),
        },
        _ if package(HOSTILE_MODULES) => Verdict::Refused(HOSTILE),
        "operator" | "_operator" | "inspect" => Verdict::Refused(REACH),
        "pickle" | "_pickle" | "cPickle" | "joblib" | "shelve" | "zipimport" | "pkgutil" => Verdict::Refused(LOADER),
        "cloudpickle" | "dill" | "marshal" | "types" => Verdict::Refused(CODE),
        "codecs" => Verdict::Refused(REACH),
        "__torch__" => Verdict::Refused(SCRIPT),
        "torch" => of_torch(module, name),
        "numpy" if name.starts_with("load") || module.contains("testing") || module.contains("f2py") || module.contains("distutils") => {
            Verdict::Refused(LOADER)
        }
        "pandas" if name.starts_with("read_") => Verdict::Refused(LOADER),
        _ => Verdict::Unknown,
    }
}

fn of_torch(module: &str, name: &str) -> Verdict {
    let loads = name.starts_with("load") || name == "_load_from_bytes";
    match module {
        "torch.hub" | "torch.package" | "torch.utils.cpp_extension" => Verdict::Refused(LOADER),
        _ if loads => Verdict::Refused(LOADER),
        "torch._utils" if name.contains("sparse") || name.contains("qtensor") || name.contains("nested") => Verdict::Refused(QUANTISED),
        "torch" if name.ends_with("Storage") => Verdict::Refused(STORAGE),
        "torch" | "torch._utils" | "torch.storage" | "torch._C" => Verdict::Refused(TORCH),
        _ => Verdict::Unknown,
    }
}

fn known(module: &str, name: &str) -> Option<Global> {
    Some(match (module, name) {
        ("collections", "OrderedDict") => Global::OrderedDict,
        ("torch._utils", "_rebuild_tensor") => Global::RebuildPlain,
        ("torch._utils", "_rebuild_tensor_v2" | "_rebuild_tensor_v3") => Global::RebuildTensor,
        ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => Global::RebuildParameter,
        ("torch._tensor", "_rebuild_from_type_v2" | "_rebuild_from_type") => Global::RebuildOfType,
        ("torch", "Size") => Global::Size,
        ("torch", name) => match name.strip_suffix("Storage") {
            Some(prefix) => Global::Storage(storage_dtype(prefix)?),
            None => Global::Dtype(torch_dtype(name)?),
        },
        _ => return None,
    })
}

fn storage_dtype(prefix: &str) -> Option<Dtype> {
    Some(match prefix {
        "Float" => Dtype::F32,
        "Double" => Dtype::F64,
        "Half" => Dtype::F16,
        "BFloat16" => Dtype::Bf16,
        "Long" => Dtype::I64,
        "Int" => Dtype::I32,
        "Short" => Dtype::I16,
        "Char" => Dtype::I8,
        "Byte" => Dtype::U8,
        "Bool" => Dtype::Bool,
        _ => return None,
    })
}

fn torch_dtype(name: &str) -> Option<Dtype> {
    Some(match name {
        "float32" => Dtype::F32,
        "float64" => Dtype::F64,
        "float16" => Dtype::F16,
        "bfloat16" => Dtype::Bf16,
        "int64" => Dtype::I64,
        "int32" => Dtype::I32,
        "int16" => Dtype::I16,
        "int8" => Dtype::I8,
        "uint8" => Dtype::U8,
        "bool" => Dtype::Bool,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_values_strangers_and_dangers_are_told_apart() {
        for (module, name) in
            [("argparse", "Namespace"), ("numpy.core.multiarray", "scalar"), ("builtins", "set"), ("pathlib", "PosixPath")]
        {
            assert_eq!(judge(module, name), Verdict::Plain, "{module}.{name}");
        }
        for (module, name) in
            [("torch.nn.modules.linear", "Linear"), ("__main__", "Config"), ("models.yolo", "Model"), ("functools", "partial")]
        {
            assert_eq!(judge(module, name), Verdict::Unknown, "{module}.{name}");
        }
        for (module, name) in [("os", "system"), ("os.path", "join"), ("builtins", "eval"), ("subprocess", "Popen"), ("posix", "system")] {
            assert_eq!(judge(module, name), Verdict::Refused(HOSTILE), "{module}.{name}");
        }
        // Refused without being called hostile.
        for (module, name) in
            [("builtins", "getattr"), ("torch", "load"), ("dill._dill", "_create_function"), ("torch._utils", "_rebuild_qtensor")]
        {
            assert!(matches!(judge(module, name), Verdict::Refused(why) if !why.contains("hostile")), "{module}.{name}");
        }
        assert_eq!(judge("collections", "OrderedDict.__init_subclass__"), Verdict::Refused(REACH));
    }
}
