//! The lists behind [`super::judge`].

/// Modules whose every name could run something.
#[rustfmt::skip]
pub(super) const HOSTILE_MODULES: &[&str] = &[
    "os", "posix", "nt", "subprocess", "sys", "runpy", "pty", "socket", "shutil", "importlib", "ctypes", "_ctypes", "commands", "code", "codeop",
    "pdb", "bdb", "timeit", "cProfile", "profile", "trace", "webbrowser", "multiprocessing", "threading", "_thread", "asyncio", "ssl", "ftplib",
    "http", "httpx", "urllib", "urllib2", "requests", "aiohttp", "smtplib", "telnetlib", "xmlrpc", "pip", "setuptools", "distutils",
    "venv", "pydoc", "signal", "resource", "gc", "site", "tempfile", "winreg", "_winreg", "posixpath", "ntpath", "io", "_io", "fileinput",
];
/// Builtins that make plain values.
#[rustfmt::skip]
pub(super) const PLAIN_BUILTINS: &[&str] = &[
    "set", "frozenset", "list", "dict", "tuple", "int", "float", "bool", "str", "bytes", "bytearray", "complex", "slice", "range", "object",
    "unicode", "long", "xrange",
];
/// Modules, and of each the classes, and functions that only build values: none reads, writes or runs anything for its arguments.
#[rustfmt::skip]
pub(super) const PLAIN: &[(&str, &[&str])] = &[
    ("collections", &["defaultdict", "deque", "Counter"]),
    ("argparse", &["Namespace"]),
    ("types", &["SimpleNamespace"]),
    ("pathlib", PATHS),
    ("pathlib._local", PATHS),
    ("datetime", &["datetime", "date", "time", "timedelta", "timezone"]),
    ("decimal", &["Decimal"]),
    ("fractions", &["Fraction"]),
    ("uuid", &["UUID"]),
    ("typing", &["Any"]),
    ("copyreg", &["_reconstructor", "__newobj__"]),
    ("copy_reg", &["_reconstructor"]),
    ("_codecs", &["encode"]),
    ("numpy", &[
        "ndarray", "dtype", "bool_", "bool", "str_", "bytes_", "float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8",
        "uint16", "uint32", "uint64", "complex64", "complex128",
    ]),
    ("numpy.core.multiarray", &["_reconstruct", "scalar"]),
    ("numpy._core.multiarray", &["_reconstruct", "scalar"]),
    ("numpy.core.numeric", &["_frombuffer"]),
    ("numpy._core.numeric", &["_frombuffer"]),
    ("numpy.random._pickle", &["__randomstate_ctor", "__generator_ctor", "__bit_generator_ctor"]),
    ("numpy.random._mt19937", &["MT19937"]),
    ("numpy.random._pcg64", &["PCG64"]),
    ("torch", &[
        "Tensor", "device", "dtype", "layout", "strided", "memory_format", "preserve_format", "contiguous_format", "channels_last",
    ]),
    ("torch.nn.parameter", &["Parameter", "Buffer"]),
    ("torch.serialization", &["_get_layout"]),
    ("torch.torch_version", &["TorchVersion"]),
    ("torch.distributed", &["ReduceOp"]),
    ("yacs.config", &["CfgNode"]),
    ("easydict", &["EasyDict"]),
    ("munch", &["Munch"]),
    ("addict.addict", &["Dict"]),
    ("box.box", &["Box"]),
    ("mmcv.utils.config", &["ConfigDict"]),
    ("mmengine.config.config", &["ConfigDict"]),
    ("omegaconf.dictconfig", &["DictConfig"]),
    ("omegaconf.listconfig", &["ListConfig"]),
    ("omegaconf.base", &["ContainerMetadata", "Metadata", "Node", "Box", "Container"]),
    ("omegaconf.nodes", &[
        "AnyNode", "StringNode", "IntegerNode", "FloatNode", "BooleanNode", "EnumNode", "ValueNode", "BytesNode", "PathNode",
    ]),
    ("pytorch_lightning.utilities.parsing", &["AttributeDict"]),
    ("lightning.pytorch.utilities.parsing", &["AttributeDict"]),
    ("lightning_fabric.utilities.data", &["AttributeDict"]),
    ("lightning.fabric.utilities.data", &["AttributeDict"]),
    ("accelerate.state", &["PartialState", "AcceleratorState", "GradientState"]),
    ("accelerate.utils.dataclasses", &[
        "DistributedType", "PrecisionType", "GradientAccumulationPlugin", "DistributedDataParallelKwargs",
    ]),
    ("transformers.trainer_utils", &[
        "HubStrategy", "IntervalStrategy", "SaveStrategy", "SchedulerType", "EvaluationStrategy", "FSDPOption", "ShardedDDPOption",
        "RemoveColumnsCollator",
    ]),
    ("transformers.trainer_pt_utils", &["AcceleratorConfig"]),
    ("transformers.debug_utils", &["DebugOption"]),
    ("transformers.training_args", &["OptimizerNames", "ParallelMode"]),
    ("transformers.utils.generic", &["ExplicitEnum"]),
    ("setfit.training_args", &["TrainingArguments"]),
];

const PATHS: &[&str] = &["Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath"];

/// What PyTorch rebuilds tensors with that are not read here: harmless to whoever loads them.
#[rustfmt::skip]
pub(super) const UNREAD: &[(&str, &[&str])] = &[
    ("torch._utils", &[
        "_rebuild_qtensor", "_rebuild_sparse_tensor", "_rebuild_meta_tensor_no_storage", "_rebuild_device_tensor_from_numpy",
        "_rebuild_device_tensor_from_cpu_tensor", "_rebuild_nested_tensor", "_set_obj_state",
    ]),
    ("torch.storage", &["UntypedStorage", "TypedStorage"]),
];

/// Numbers of PyTorch that are not read here.
#[rustfmt::skip]
pub(super) const TORCH_NUMBERS: &[&str] = &[
    "float", "half", "double", "int", "long", "short", "uint16", "uint32", "uint64", "complex32", "complex64", "complex128", "quint8", "qint8",
    "qint32", "quint4x2", "quint2x4", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz",
];

/// Trainers whose argument classes are taken, wherever in them they are defined.
pub(super) const TRAINERS: &[&str] = &["transformers", "trl", "sentence_transformers", "setfit", "peft"];
pub(super) const ARGUMENT_CLASSES: &[&str] = &["TrainingArguments", "Arguments", "Config", "PreTrainedConfig", "BatchSamplers"];
