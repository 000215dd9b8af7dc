//! What the names that a pickle imports are, in one table for all who ask: those that build tensors, plain values that runs leave
//! beside weights, and those that could run code in whatever Python loads the file. The reader of weights (`torch_calls`) answers the
//! first itself and calls nothing; the scan of what is published takes a pickle for harmless where all its names are.

mod table;

use table::{ARGUMENT_CLASSES, HOSTILE_MODULES, PLAIN, PLAIN_BUILTINS, TORCH_NUMBERS, TRAINERS, UNREAD};

use super::pickle::Global;
use super::tensor::Dtype;

/// What a name is to a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// One whose calls we answer ourselves.
    Known(Global),
    /// A class of plain values: harmless also where Python makes them.
    Plain,
    /// Harmless too, and yet part of weights of a kind that is not read; the reason.
    Unread(&'static str),
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

/// Does nothing but build values in whatever Python loads a pickle with this name.
pub fn is_harmless(module: &str, name: &str) -> bool {
    matches!(judge(module, name), Verdict::Known(_) | Verdict::Plain | Verdict::Unread(_))
}

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
    let listed = |list: &[(&str, &[&str])]| list.iter().any(|(of, names)| *of == module && names.contains(&name));
    let numbers = |ending: &str| name.strip_suffix(ending).is_some_and(|kind| kind.chars().all(|c| c.is_ascii_alphanumeric()));
    if listed(PLAIN) || ["numpy", "numpy.dtypes"].contains(&module) && numbers("DType") || is_argument_class(module, name) {
        return Verdict::Plain;
    }
    if listed(UNREAD) {
        return Verdict::Unread(QUANTISED);
    }
    if module == "torch" && TORCH_NUMBERS.contains(&name) || ["torch", "torch.cuda"].contains(&module) && numbers("Storage") {
        return Verdict::Unread(STORAGE);
    }
    match module.split('.').next().unwrap_or(module) {
        "builtins" | "__builtin__" => match name {
            _ if PLAIN_BUILTINS.contains(&name) && !module.contains('.') => Verdict::Plain,
            "getattr" | "setattr" | "delattr" | "hasattr" | "vars" | "globals" | "locals" | "dir" | "type" | "super" => {
                Verdict::Refused(REACH)
            }
            _ => Verdict::Refused(HOSTILE),
        },
        "__builtins__" => Verdict::Refused(HOSTILE),
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

/// A class, by its spelling, of a trainer's module; a name with a dot would lead from there to anywhere.
fn is_argument_class(module: &str, name: &str) -> bool {
    let top = module.split('.').next().unwrap_or(module);
    TRAINERS.contains(&top)
        && name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.chars().all(|c| c.is_ascii_alphanumeric())
        && ARGUMENT_CLASSES.iter().any(|end| name.ends_with(end))
}

fn of_torch(module: &str, name: &str) -> Verdict {
    let loads = name.starts_with("load") || name == "_load_from_bytes";
    match module {
        "torch.hub" | "torch.package" | "torch.utils.cpp_extension" => Verdict::Refused(LOADER),
        _ if loads => Verdict::Refused(LOADER),
        "torch._utils" if name.contains("sparse") || name.contains("qtensor") || name.contains("nested") => Verdict::Refused(QUANTISED),
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
            [("builtins", "getattr"), ("torch", "load"), ("dill._dill", "_create_function"), ("torch._utils", "_rebuild_sparse_other")]
        {
            assert!(matches!(judge(module, name), Verdict::Refused(why) if !why.contains("hostile")), "{module}.{name}");
        }
        assert_eq!(judge("collections", "OrderedDict.__init_subclass__"), Verdict::Refused(REACH));
    }

    #[test]
    fn only_what_holds_data_is_on_the_list() {
        for (module, name) in [
            ("collections", "OrderedDict"),
            ("torch._utils", "_rebuild_tensor_v2"),
            ("torch", "FloatStorage"),
            ("torch", "bfloat16"),
            ("numpy._core.multiarray", "_reconstruct"),
            ("argparse", "Namespace"),
            ("transformers.training_args", "TrainingArguments"),
            ("transformers.training_args_seq2seq", "Seq2SeqTrainingArguments"),
            ("trl.trainer.sft_config", "SFTConfig"),
            ("torch._utils", "_rebuild_qtensor"),
            ("torch", "ComplexFloatStorage"),
            ("torch", "complex64"),
            ("numpy.random._pickle", "__randomstate_ctor"),
            ("omegaconf.dictconfig", "DictConfig"),
        ] {
            assert!(is_harmless(module, name), "{module}.{name}");
        }
        for (module, name) in [
            ("os", "system"),
            ("posix", "system"),
            ("builtins", "eval"),
            ("builtins", "getattr"),
            ("torch.storage", "_load_from_bytes"),
            ("torch", "load"),
            ("torch.hub", "load"),
            ("transformers.training_args", "os"),
            ("transformers", "training_args.os.system"),
            ("transformers.training_args", "TrainingArguments.__init__"),
            ("trl.trainer.x", "os.system.Config"),
            ("functools", "partial"),
            ("operator", "attrgetter"),
            ("runpy", "_run_code"),
            ("numpy", "load"),
            ("joblib.numpy_pickle", "NumpyArrayWrapper"),
            ("transformersx", "TrainingArguments"),
            ("omegaconf", "OmegaConf.load"),
            ("omegaconf.omegaconf", "OmegaConf"),
            ("mmengine.config.config", "Config"),
            ("builtins.os", "system"),
            ("builtins", "NotImplemented"),
            ("torch.x", "FloatStorage"),
            ("torch", "os.Storage"),
        ] {
            assert!(!is_harmless(module, name), "{module}.{name}");
        }
    }

    #[test]
    fn kinds_of_numbers_that_are_not_read_are_no_danger() {
        for (module, name) in [("torch", "ComplexFloatStorage"), ("torch", "quint8"), ("torch._utils", "_rebuild_qtensor")] {
            assert!(matches!(judge(module, name), Verdict::Unread(_)), "{module}.{name}");
        }
    }
}
