//! Pickles that PyTorch wrote, pickles that attack, and pickles broken at random.

use proptest::prelude::*;

use super::super::error::Error;
use super::*;

fn refused(pickle: &[u8]) -> String {
    match read(pickle) {
        Err(Error::RefusedGlobal { global, .. }) => global,
        other => panic!("{other:?}"),
    }
}

fn corrupted(pickle: &[u8]) -> String {
    match read(pickle) {
        Err(Error::Corrupt(problem)) => problem,
        other => panic!("{other:?}"),
    }
}

#[test]
fn plain_values() {
    let program = b"\x80\x02}(X\x01\x00\x00\x00aK\x07X\x01\x00\x00\x00b](K\x01NG\x3f\xe0\x00\x00\x00\x00\x00\x00\x88eu.rest";
    let pickle = read(program).unwrap();
    let items = pickle.items(pickle.root).unwrap();
    assert_eq!(*pickle.get(items[0].1), Value::Int(7));
    let Value::List(list) = pickle.get(items[1].1) else { panic!() };
    let values: Vec<_> = list.iter().map(|&id| pickle.get(id).clone()).collect();
    assert_eq!(values, [Value::Int(1), Value::None, Value::Float(0.5), Value::Bool(true)]);
    assert_eq!(pickle.length, program.len() - "rest".len());
}

#[test]
fn whole_numbers_of_any_sign() {
    let int = |pickle: &[u8]| {
        let pickle = read(pickle).unwrap();
        pickle.get(pickle.root).clone()
    };
    assert_eq!(int(b"\x80\x02\x8a\x00."), Value::Int(0));
    assert_eq!(int(b"\x80\x02\x8a\x01\xff."), Value::Int(-1));
    assert_eq!(int(b"\x80\x02\x8a\x05\x00\x00\x00\x00\x01."), Value::Int(1 << 32));
    assert_eq!(int(b"\x80\x02J\xfe\xff\xff\xff."), Value::Int(-2));
    // Seeds and states of generators are longer; no weights need them.
    assert_eq!(int(b"\x80\x02\x8a\x11aaaaaaaaaaaaaaaaa."), Value::Bytes(4..21));
    assert!(read(b"\x80\x02\x8a\x11aaaa.").is_err());
}

#[test]
fn names_that_run_code_are_refused_and_named() {
    for (module, name) in [
        ("posix", "system"),
        ("nt", "system"),
        ("os", "system"),
        ("builtins", "eval"),
        ("builtins", "exec"),
        ("builtins", "getattr"),
        ("__builtin__", "eval"),
        ("subprocess", "Popen"),
        ("runpy", "_run_code"),
        ("codecs", "encode"),
        ("operator", "attrgetter"),
        ("torch", "load"),
        ("torch.hub", "load"),
        ("torch.storage", "_load_from_bytes"),
        ("torch.serialization", "load"),
        ("torch._utils", "_rebuild_device_tensor_from_numpy"),
        ("collections", "OrderedDict.__init_subclass__"),
        ("__torch__", "Model"),
        ("torch", "ComplexFloatStorage"),
        ("torch", "_C"),
    ] {
        let whole = format!("{module}.{name}");
        let global = [b"\x80\x02c", module.as_bytes(), b"\n", name.as_bytes(), b"\n."].concat();
        assert_eq!(refused(&global), whole);
        let (m, n) = (module.len() as u8, name.len() as u8);
        let stack_global = [b"\x80\x04\x8c", &[m][..], module.as_bytes(), b"\x94\x8c", &[n], name.as_bytes(), b"\x94\x93."].concat();
        assert_eq!(refused(&stack_global), whole);
    }
}

#[test]
fn names_that_are_never_called_are_carried_as_opaque_values() {
    for name in [
        "argparse\nNamespace",
        "numpy.core.multiarray\nscalar",
        "collections\ndefaultdict",
        "torch.nn.modules.linear\nLinear",
        "__main__\nNet",
    ] {
        let shown = name.replace('\n', ".");
        // The name, a call of it, objects by each opcode, their state, and items put into them.
        for program in [
            "c{}\n.",
            "c{}\n)R.",
            "c{}\n)\u{81}.",
            "c{}\n)}\u{92}.",
            "(c{}\no.",
            "(K\u{1}i{}\n.",
            "c{}\n)R}b.",
            "c{}\n)RK\u{1}K\u{2}s.",
            "c{}\n)R(K\u{1}e.",
        ] {
            let program: Vec<u8> = program.replace("{}", name).chars().map(|c| c as u8).collect();
            let program = [b"\x80\x02", &program[..]].concat();
            let pickle = read(&program).unwrap();
            assert_eq!(pickle.class_of(pickle.root), Some(shown.as_str()), "{program:?}");
        }
    }
    // What behaves as a dict is looked into; a set is a list of values.
    let mapping = read(b"\x80\x02ccollections\ndefaultdict\n)RX\x01\x00\x00\x00aK\x07s.").unwrap();
    assert_eq!(mapping.items(mapping.root).unwrap()[0].0, "a");
    let set = read(b"\x80\x04\x8f(K\x01K\x02\x90.").unwrap();
    assert!(matches!(set.get(set.root), Value::List(items) if items.len() == 2));
    // Python 2 writes bytes as text.
    let bytes = read(b"\x80\x02U\x02\xff\xfe.").unwrap();
    assert_eq!(*bytes.get(bytes.root), Value::Bytes(4..6));
}

#[test]
fn opcodes_that_make_objects_of_functions_are_refused() {
    assert_eq!(refused(b"\x80\x02(X\x02\x00\x00\x00idiposix\nsystem\n."), "posix.system");
    assert_eq!(refused(b"\x80\x02ctorch\nFloatStorage\n)\x81."), "NEWOBJ");
    assert_eq!(refused(b"\x80\x02(ctorch\nFloatStorage\no."), "OBJ");
    assert_eq!(refused(b"\x80\x02\x82\x01."), "EXT");
    assert_eq!(refused(b"\x80\x02Pstorage\n."), "PERSID");
    // REDUCE on what is no function, on a name that is not called, and BUILD on what has no state.
    assert_eq!(refused(b"\x80\x02X\x01\x00\x00\x00a)R."), "a value that is no function");
    assert_eq!(refused(b"\x80\x02ctorch\nFloatStorage\n)R."), "Storage(F32)");
    assert_eq!(refused(b"\x80\x02ccollections\nOrderedDict\n}b."), "__setstate__");
    assert_eq!(refused(b"\x80\x02cargparse\nNamespace\n}b."), "__setstate__");
    assert_eq!(refused(b"\x80\x02]}b."), "__setstate__");
    // The escape from the allow-list by the BUILD of a class attribute.
    assert_eq!(refused(b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}X\x08\x00\x00\x00__code__Nsb."), "__setstate__");
    // A persistent id that names a module's source.
    assert_eq!(refused(b"\x80\x02(X\x06\x00\x00\x00moduleNNNNtQ."), "persistent id");
}

#[test]
fn hooks_are_functions_and_refused() {
    let storage = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x01tQ";
    let call = |hooks: &[u8]| [&b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n("[..], storage, b"K\x00))\x89", hooks, b"tR."].concat();
    assert!(read(&call(b"ccollections\nOrderedDict\n)R")).is_ok());
    assert!(read(&call(b"N")).is_ok());
    assert_eq!(refused(&call(b"}K\x01K\x02s")), "backward hooks");
}

#[test]
fn programs_that_end_early_or_take_what_is_not_there() {
    for pickle in [
        &b""[..],
        b".",
        b"\x80\x02",
        b"\x80\x02.",
        b"\x80\x02t.",
        b"\x80\x02(.",
        b"\x80\x02K\x01(0.",
        b"\x80\x02K\x01(\x85.",
        b"\x80\x02K\x01(q\x00.",
        b"\x80\x02h\x00.",
        b"\x80\x02K\x01a.",
        b"\x80\x02K\x01K\x02K\x03s.",
        b"\x80\x02}(K\x01u.",
        b"\x80\x02X\xff\xff\xff\xffabc",
        b"\x80\x02X\x01\x00\x00\x00\xff.",
        b"\x80\x02\x95\xff\xff\xff\xff\xff\xff\xff\xff.",
        b"\x80\x02R.",
        b"\x80\x02K\x01K\x02R.",
        b"\x80\x02ccollections",
        b"\x80\x02K\x01Q.",
        b"\x80\x02(K\x01K\x01K\x01K\x01K\x01tQ.",
        b"\x80\x06N.",
        b"\x80\x00N.",
        b"\x80\x02I1\n.",
        b"\x80\x02\xfe.",
    ] {
        let problem = read(pickle).unwrap_err();
        assert!(matches!(problem, Error::Corrupt(_) | Error::RefusedGlobal { .. }), "{pickle:?}: {problem}");
    }
    assert!(corrupted(b"\x80\x02\xfe.").contains("0xfe"));
}

#[test]
fn work_is_bounded() {
    let marks = [&b"\x80\x02"[..], &vec![b'('; 5_000], b"."].concat();
    assert!(corrupted(&marks).contains("nested"));
    let values = [&b"\x80\x02"[..], &vec![b'N'; Limits::WEIGHTS.values + 1], b"."].concat();
    assert!(matches!(read(&values), Err(Error::TooLarge(_))));
    // One list of a thousand pairs, copied into a dict again and again.
    let mut copies = b"\x80\x02ccollections\nOrderedDict\nq\x00](".to_vec();
    copies.extend(b"K\x01K\x02\x86".repeat(1_000));
    copies.extend(b"e\x85q\x01");
    copies.extend(b"h\x00h\x01R".repeat(2_000));
    copies.push(b'.');
    assert!(matches!(read(&copies), Err(Error::TooLarge(_))));
    // A list that holds itself is only an index.
    let cycle = read(b"\x80\x02]q\x00h\x00a.").unwrap();
    assert_eq!(*cycle.get(cycle.root), Value::List(vec![cycle.root]));
}

/// Opcodes with their arguments, to be strung together.
const WORDS: [&[u8]; 34] = [
    b"cargparse\nNamespace\n",
    b"\x81",
    b"\x92",
    b"\x8f",
    b"\x90",
    b"1",
    b"(",
    b")",
    b"}",
    b"]",
    b"t",
    b"\x85",
    b"\x87",
    b"K\x03",
    b"N",
    b"X\x07\x00\x00\x00storage",
    b"X\x01\x00\x00\x000",
    b"q\x01",
    b"h\x01",
    b"\x94",
    b"R",
    b"b",
    b"Q",
    b"s",
    b"u",
    b"a",
    b"e",
    b"0",
    b"ctorch\nFloatStorage\n",
    b"ctorch\nSize\n",
    b"ctorch._utils\n_rebuild_tensor_v2\n",
    b"ccollections\nOrderedDict\n",
    b"\x93",
    b"\x8a\x01\xff",
];

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(&bytes);
    }

    #[test]
    fn random_programs_never_panic(words in proptest::collection::vec(prop::sample::select(&WORDS[..]), 0..60)) {
        let _ = read(&[&b"\x80\x02"[..], &words.concat(), b"."].concat());
    }
}
