//! The names a pickle may import and call: what rebuilds tensors, arrays and plain containers, and the classes that hold a
//! training's arguments. None of them reads, writes or runs anything for its arguments.

/// Modules and the names in them.
const NAMES: &[(&str, &[&str])] = &[
    ("collections", &["OrderedDict", "defaultdict", "Counter", "deque"]),
    ("argparse", &["Namespace"]),
    ("types", &["SimpleNamespace"]),
    ("pathlib", &["Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath"]),
    ("pathlib._local", &["Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath"]),
    ("datetime", &["datetime", "date", "time", "timedelta", "timezone"]),
    ("decimal", &["Decimal"]),
    ("fractions", &["Fraction"]),
    ("uuid", &["UUID"]),
    ("builtins", BUILTINS),
    ("__builtin__", BUILTINS),
    ("copyreg", &["_reconstructor"]),
    ("copy_reg", &["_reconstructor"]),
    ("_codecs", &["encode"]),
    (
        "numpy",
        &[
            "ndarray",
            "dtype",
            "bool_",
            "bool",
            "str_",
            "bytes_",
            "float16",
            "float32",
            "float64",
            "int8",
            "int16",
            "int32",
            "int64",
            "uint8",
            "uint16",
            "uint32",
            "uint64",
            "complex64",
            "complex128",
        ],
    ),
    ("numpy.core.multiarray", &["_reconstruct", "scalar"]),
    ("numpy._core.multiarray", &["_reconstruct", "scalar"]),
    ("numpy.core.numeric", &["_frombuffer"]),
    ("numpy._core.numeric", &["_frombuffer"]),
    (
        "torch",
        &[
            "Size",
            "Tensor",
            "device",
            "dtype",
            "layout",
            "strided",
            "memory_format",
            "preserve_format",
            "contiguous_format",
            "channels_last",
        ],
    ),
    ("torch.nn.parameter", &["Parameter", "Buffer"]),
    ("torch.serialization", &["_get_layout"]),
    ("torch._tensor", &["_rebuild_from_type_v2"]),
    (
        "torch._utils",
        &[
            "_rebuild_tensor",
            "_rebuild_tensor_v2",
            "_rebuild_tensor_v3",
            "_rebuild_parameter",
            "_rebuild_parameter_with_state",
            "_rebuild_qtensor",
            "_rebuild_sparse_tensor",
            "_rebuild_meta_tensor_no_storage",
            "_rebuild_device_tensor_from_numpy",
            "_rebuild_device_tensor_from_cpu_tensor",
            "_rebuild_nested_tensor",
            "_set_obj_state",
        ],
    ),
    ("torch.storage", &["UntypedStorage", "TypedStorage"]),
    ("accelerate.state", &["PartialState", "AcceleratorState", "GradientState"]),
    ("accelerate.utils.dataclasses", &["DistributedType", "PrecisionType", "GradientAccumulationPlugin", "DistributedDataParallelKwargs"]),
    (
        "transformers.trainer_utils",
        &[
            "HubStrategy",
            "IntervalStrategy",
            "SaveStrategy",
            "SchedulerType",
            "EvaluationStrategy",
            "FSDPOption",
            "ShardedDDPOption",
            "RemoveColumnsCollator",
        ],
    ),
    ("transformers.trainer_pt_utils", &["AcceleratorConfig"]),
    ("transformers.debug_utils", &["DebugOption"]),
    ("transformers.training_args", &["OptimizerNames", "ParallelMode"]),
    ("transformers.utils.generic", &["ExplicitEnum"]),
    ("setfit.training_args", &["TrainingArguments"]),
];

const BUILTINS: &[&str] = &[
    "set",
    "frozenset",
    "dict",
    "list",
    "tuple",
    "complex",
    "bytes",
    "bytearray",
    "slice",
    "range",
    "object",
    "int",
    "float",
    "bool",
    "str",
    "unicode",
    "long",
    "xrange",
];

/// Numbers of PyTorch: `FloatStorage`, `float32`.
const TORCH_NUMBERS: &[&str] = &[
    "float",
    "float16",
    "float32",
    "float64",
    "half",
    "double",
    "bfloat16",
    "int",
    "int8",
    "int16",
    "int32",
    "int64",
    "long",
    "short",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "bool",
    "complex32",
    "complex64",
    "complex128",
    "quint8",
    "qint8",
    "qint32",
    "quint4x2",
    "quint2x4",
    "float8_e4m3fn",
    "float8_e5m2",
    "float8_e4m3fnuz",
    "float8_e5m2fnuz",
];

/// Trainers whose argument classes are taken, wherever in them they are defined.
const TRAINERS: &[&str] = &["transformers", "trl", "sentence_transformers", "setfit", "peft"];
const ARGUMENT_CLASSES: &[&str] = &["TrainingArguments", "Arguments", "Config", "PreTrainedConfig", "BatchSamplers"];

pub(super) fn is_allowed(module: &str, name: &str) -> bool {
    if NAMES.iter().any(|(known, names)| *known == module && names.contains(&name)) {
        return true;
    }
    match module {
        "torch" | "torch.cuda" => {
            TORCH_NUMBERS.contains(&name)
                || name.strip_suffix("Storage").is_some_and(|kind| kind.chars().all(|c| c.is_ascii_alphanumeric()))
        }
        "numpy" | "numpy.dtypes" => name.strip_suffix("DType").is_some_and(|kind| kind.chars().all(|c| c.is_ascii_alphanumeric())),
        _ => is_argument_class(module, name),
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

#[cfg(test)]
mod tests {
    use super::is_allowed;

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
        ] {
            assert!(is_allowed(module, name), "{module}.{name}");
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
        ] {
            assert!(!is_allowed(module, name), "{module}.{name}");
        }
    }
}
